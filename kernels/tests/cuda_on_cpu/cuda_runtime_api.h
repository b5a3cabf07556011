#pragma once

#include <cstdlib>
#include <cstring>

#include "cuda_runtime.h"

/// A stand-in for CUDA's header: what TensorRT's headers and the plugins use of it, on the CPU.

using cudaEvent_t = struct CUevent_st*;
enum cudaMemcpyKind { cudaMemcpyHostToDevice };

inline cudaError_t cudaMalloc(void** to, std::size_t bytes) {
    *to = std::malloc(bytes);
    return cudaSuccess;
}

inline cudaError_t cudaFree(void* memory) {
    std::free(memory);
    return cudaSuccess;
}

inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
    std::memcpy(to, from, bytes);
    return cudaSuccess;
}

inline const char* cudaGetErrorString(cudaError_t) {
    return "no error";
}
