# Settles EDGESEG_TENSORRT=AUTO|ON|OFF, after EdgesegTensorRTHeaders and EdgesegCuda. Sets EDGESEG_HAS_TENSORRT where the
# plugins can be built, which takes TensorRT's headers and nvcc.

set(EDGESEG_HAS_TENSORRT OFF)
if(EDGESEG_TENSORRT_INCLUDE_DIR AND EDGESEG_HAS_CUDA)
  set(EDGESEG_HAS_TENSORRT ON)
elseif(EDGESEG_TENSORRT_INCLUDE_DIR)
  set(edgeseg_no_tensorrt "the plugins need the CUDA kernels")
endif()

if(EDGESEG_HAS_TENSORRT)
  message(STATUS "edgeseg: plugins for TensorRT ${EDGESEG_TENSORRT_VERSION} (${EDGESEG_TENSORRT_INCLUDE_DIR})")
elseif(EDGESEG_TENSORRT STREQUAL "ON")
  message(FATAL_ERROR "EDGESEG_TENSORRT=ON, but ${edgeseg_no_tensorrt}. Set TensorRT_ROOT to the folder that holds "
                      "TensorRT's include/, and see that nvcc works; EDGESEG_TENSORRT=AUTO builds without the plugins.")
elseif(edgeseg_no_tensorrt)
  message(STATUS "edgeseg: no TensorRT plugins (${edgeseg_no_tensorrt})")
endif()
