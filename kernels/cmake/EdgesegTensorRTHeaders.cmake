# What EDGESEG_TENSORRT=AUTO|ON|OFF can be settled by before EdgesegCuda. Sets EDGESEG_TENSORRT_INCLUDE_DIR to TensorRT's
# headers where there are those of version 10 or later, else edgeseg_no_tensorrt to the reason why not.

if(NOT EDGESEG_TENSORRT MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "EDGESEG_TENSORRT is ${EDGESEG_TENSORRT}. Set it to AUTO, ON or OFF.")
endif()

if(NOT EDGESEG_TENSORRT STREQUAL "OFF")
  # Debian's and JetPack's packages put it where CMake looks by itself: /usr/include/<triplet>.
  find_path(EDGESEG_TENSORRT_INCLUDE_DIR NvInferRuntime.h HINTS "${TensorRT_ROOT}" "$ENV{TensorRT_ROOT}"
            PATHS /usr/local/tensorrt /usr/src/tensorrt PATH_SUFFIXES include)
  mark_as_advanced(EDGESEG_TENSORRT_INCLUDE_DIR)
endif()

set(edgeseg_no_tensorrt "")
if(EDGESEG_TENSORRT STREQUAL "OFF")
  unset(EDGESEG_TENSORRT_INCLUDE_DIR CACHE)
elseif(NOT EDGESEG_TENSORRT_INCLUDE_DIR)
  set(edgeseg_no_tensorrt "no NvInferRuntime.h was found")
else()
  # The major version is a number, or the name of another macro that is one.
  file(STRINGS "${EDGESEG_TENSORRT_INCLUDE_DIR}/NvInferVersion.h" edgeseg_versions
       REGEX "define (NV_TENSORRT|TRT)_(MAJOR|MINOR)(_ENTERPRISE)? [0-9]+")
  string(REGEX MATCH "MAJOR[_A-Z]* ([0-9]+)" _ "${edgeseg_versions}")
  set(edgeseg_tensorrt_major "${CMAKE_MATCH_1}")
  string(REGEX MATCH "MINOR[_A-Z]* ([0-9]+)" _ "${edgeseg_versions}")
  set(EDGESEG_TENSORRT_VERSION "${edgeseg_tensorrt_major}.${CMAKE_MATCH_1}")
  if(NOT edgeseg_tensorrt_major OR edgeseg_tensorrt_major LESS 10)
    set(edgeseg_no_tensorrt "${EDGESEG_TENSORRT_INCLUDE_DIR} has TensorRT ${EDGESEG_TENSORRT_VERSION}, before 10")
    unset(EDGESEG_TENSORRT_INCLUDE_DIR CACHE)
  endif()
endif()
