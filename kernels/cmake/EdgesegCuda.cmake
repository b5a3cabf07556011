# Settles EDGESEG_CUDA=AUTO|ON|OFF. Sets EDGESEG_HAS_CUDA and, where it is true, enables the language with the
# architectures of CMAKE_CUDA_ARCHITECTURES (default: every device family this nvcc knows, and PTX for later ones).

include(CheckLanguage)
include(CheckSourceCompiles)

if(NOT EDGESEG_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "EDGESEG_CUDA is ${EDGESEG_CUDA}. Set it to AUTO, ON or OFF.")
endif()

# A flag and no CMAKE_CUDA_STANDARD (nor CMAKE_CXX_STANDARD, which CUDA inherits): CMake 3.25 believes that no nvcc has
# C++20, and any CMake stops, where AUTO should go on, at one before CUDA 12, which has not.
set(EDGESEG_CUDA_FLAGS -std=c++20)

# An nvcc may know itself and still be too old, or lack headers, ptxas or a host compiler it can work with.
function(edgeseg_check_cuda_compiles)
  list(GET CMAKE_CUDA_ARCHITECTURES 0 CMAKE_CUDA_ARCHITECTURES) # one is enough, and quicker
  set(CMAKE_REQUIRED_FLAGS ${EDGESEG_CUDA_FLAGS})
  check_source_compiles(CUDA "#include <string>\n__global__ void kernel() {}\nint main() {}" EDGESEG_CUDA_COMPILES)
endfunction()

set(EDGESEG_HAS_CUDA OFF)
if(NOT EDGESEG_CUDA STREQUAL "OFF")
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
      execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-code OUTPUT_VARIABLE edgeseg_known_codes)
      # Turing, Ampere, GeForce 30, Orin, Ada, Hopper, Blackwell, Thor, GeForce 50; others run the nearest of these.
      foreach(architecture 75 80 86 87 89 90 100 110 120)
        if(edgeseg_known_codes MATCHES "sm_${architecture}[\r\n]")
          list(APPEND CMAKE_CUDA_ARCHITECTURES ${architecture}-real)
          set(edgeseg_newest ${architecture})
        endif()
      endforeach()
      list(APPEND CMAKE_CUDA_ARCHITECTURES ${edgeseg_newest}-virtual)
    endif()
    enable_language(CUDA)
    edgeseg_check_cuda_compiles()
    find_package(CUDAToolkit QUIET)
    if(EDGESEG_CUDA_COMPILES AND TARGET CUDA::cudart_static)
      set(EDGESEG_HAS_CUDA ON)
    endif()
  endif()
endif()

if(EDGESEG_HAS_CUDA)
  message(STATUS "edgeseg: CUDA ${CMAKE_CUDA_COMPILER_VERSION} kernels for ${CMAKE_CUDA_ARCHITECTURES}")
elseif(EDGESEG_CUDA STREQUAL "ON")
  message(FATAL_ERROR "EDGESEG_CUDA=ON, but no working nvcc of CUDA 12 or later was found. Put it into PATH or set "
                      "CUDACXX to it; EDGESEG_CUDA=AUTO builds the CPU kernels without it.")
else()
  if(NOT EDGESEG_CUDA STREQUAL "OFF")
    set(edgeseg_reason "; no working nvcc of CUDA 12 or later was found")
  endif()
  message(STATUS "edgeseg: CPU kernels only (EDGESEG_CUDA=${EDGESEG_CUDA}${edgeseg_reason})")
endif()
