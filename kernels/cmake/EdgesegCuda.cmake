# Settles EDGESEG_CUDA=AUTO|ON|OFF, after EdgesegTensorRTHeaders: AUTO looks for nvcc only where something is built that
# takes it, which is the TensorRT plugins and edgeseg_bench. Sets EDGESEG_HAS_CUDA and, where it is true, enables the
# language with the architectures of CMAKE_CUDA_ARCHITECTURES.

include(CheckLanguage)
include(CheckSourceCompiles)

if(NOT EDGESEG_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "EDGESEG_CUDA is ${EDGESEG_CUDA}. Set it to AUTO, ON or OFF.")
endif()

# A flag and no CMAKE_CUDA_STANDARD (nor CMAKE_CXX_STANDARD, which CUDA inherits): CMake 3.25 believes that no nvcc has
# C++20, and any CMake stops, where AUTO should go on, at one before CUDA 12, which has not.
set(EDGESEG_CUDA_FLAGS -std=c++20)

# What to compile for where CMAKE_CUDA_ARCHITECTURES is not set: the GPUs of this machine. Nine architectures at a time
# are more than 8 GB of memory hold.
function(edgeseg_choose_cuda_architectures)
  if(NOT EDGESEG_ALL_GPUS)
    execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" -arch=native --dryrun -x cu -c /dev/null -o /dev/null
                    RESULT_VARIABLE edgeseg_failed ERROR_VARIABLE edgeseg_said OUTPUT_QUIET)
    if(edgeseg_failed EQUAL 0 AND NOT edgeseg_said MATCHES "Cannot find valid GPU")
      set(CMAKE_CUDA_ARCHITECTURES native PARENT_SCOPE)
      return()
    endif()
  endif()
  if(EDGESEG_ALL_GPUS)
    # Turing, Ampere, GeForce 30, Orin, Ada, Hopper, Blackwell, Thor, GeForce 50; others run the nearest of these.
    set(edgeseg_wanted 75 80 86 87 89 90 100 110 120)
  else()
    set(edgeseg_wanted 75 80 87) # Turing, Ampere to Ada, Orin; later ones compile the PTX of Orin when they load it
  endif()
  execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-code OUTPUT_VARIABLE edgeseg_known_codes)
  foreach(edgeseg_architecture IN LISTS edgeseg_wanted)
    if(edgeseg_known_codes MATCHES "sm_${edgeseg_architecture}[\r\n]")
      list(APPEND edgeseg_chosen ${edgeseg_architecture}-real)
      set(edgeseg_newest ${edgeseg_architecture})
    endif()
  endforeach()
  set(CMAKE_CUDA_ARCHITECTURES ${edgeseg_chosen} ${edgeseg_newest}-virtual PARENT_SCOPE)
endfunction()

# An nvcc may know itself and still be too old, or lack headers, ptxas or a host compiler it can work with.
function(edgeseg_check_cuda_compiles)
  list(GET CMAKE_CUDA_ARCHITECTURES 0 CMAKE_CUDA_ARCHITECTURES) # one is enough, and quicker
  set(CMAKE_REQUIRED_FLAGS ${EDGESEG_CUDA_FLAGS})
  check_source_compiles(CUDA "#include <string>\n__global__ void kernel() {}\nint main() {}" EDGESEG_CUDA_COMPILES)
endfunction()

set(EDGESEG_HAS_CUDA OFF)
set(edgeseg_no_cuda "")
if(EDGESEG_CUDA STREQUAL "OFF")
  set(edgeseg_no_cuda "EDGESEG_CUDA=OFF")
elseif(EDGESEG_CUDA STREQUAL "AUTO" AND NOT EDGESEG_TENSORRT_INCLUDE_DIR AND NOT EDGESEG_BENCH)
  set(edgeseg_no_cuda "only the TensorRT plugins and edgeseg_bench have CUDA code")
else()
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    # JetPack installs nvcc but leaves it out of PATH.
    find_program(EDGESEG_NVCC nvcc PATHS "$ENV{CUDA_HOME}/bin" /usr/local/cuda/bin)
    mark_as_advanced(EDGESEG_NVCC)
    if(EDGESEG_NVCC)
      set(ENV{CUDACXX} "${EDGESEG_NVCC}")
    endif()
  endif()

  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      edgeseg_choose_cuda_architectures()
    endif()
    enable_language(CUDA)
    edgeseg_check_cuda_compiles()
    find_package(CUDAToolkit QUIET)
    if(EDGESEG_CUDA_COMPILES AND TARGET CUDA::cudart_static)
      set(EDGESEG_HAS_CUDA ON)
    endif()
  endif()
  if(NOT EDGESEG_HAS_CUDA)
    set(edgeseg_no_cuda "no working nvcc of CUDA 12 or later was found")
  endif()
endif()

if(EDGESEG_HAS_CUDA)
  message(STATUS "edgeseg: CUDA ${CMAKE_CUDA_COMPILER_VERSION} kernels for ${CMAKE_CUDA_ARCHITECTURES}")
elseif(EDGESEG_CUDA STREQUAL "ON")
  message(FATAL_ERROR "EDGESEG_CUDA=ON, but ${edgeseg_no_cuda}. Put it into PATH or set CUDACXX to it; "
                      "EDGESEG_CUDA=AUTO builds the CPU kernels without it.")
else()
  message(STATUS "edgeseg: CPU kernels only (${edgeseg_no_cuda})")
endif()
