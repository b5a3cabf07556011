#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fibers.h"

/// A stand-in for CUDA's header: what the dense CRF uses of it, on the CPU.

#define __device__
#define __forceinline__ inline __attribute__((always_inline))

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;  // of the thread that runs

using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess };

// Arrays that are cleared together have poisoned gaps between them.
#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("address")))
#endif
inline cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t bytes, cudaStream_t) {
    auto* each = static_cast<volatile unsigned char*>(to);  // volatile: no call of memset, which would be checked
    for (std::size_t i = 0; i < bytes; ++i) each[i] = static_cast<unsigned char>(byte);
    return cudaSuccess;
}

inline void __syncthreads() {
    edgeseg::cuda_on_cpu::wait_for_block();
}

inline void __syncwarp() {
    edgeseg::cuda_on_cpu::wait_for_warp();
}

/// What lane `from` passes.
template <class T>
T value_of_lane(int from, T value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    const std::uint64_t* all = edgeseg::cuda_on_cpu::exchange(bits);
    std::memcpy(&value, all + from, sizeof value);
    edgeseg::cuda_on_cpu::wait_for_warp();
    return value;
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int distance) {
    return value_of_lane(edgeseg::cuda_on_cpu::lane() ^ distance, value);
}

template <class T>
T __shfl_up_sync(unsigned, T value, int distance) {
    const int lane = edgeseg::cuda_on_cpu::lane();
    return value_of_lane(lane < distance ? lane : lane - distance, value);
}

inline unsigned __match_any_sync(unsigned, int value) {
    const auto mine = static_cast<std::uint64_t>(value);
    const std::uint64_t* all = edgeseg::cuda_on_cpu::exchange(mine);
    unsigned same = 0;
    for (int i = 0; i < 32; ++i) same |= static_cast<unsigned>(all[i] == mine) << i;
    edgeseg::cuda_on_cpu::wait_for_warp();
    return same;
}

inline int __popc(unsigned bits) {
    return __builtin_popcount(bits);
}

inline int __float2int_rn(float value) {
    return static_cast<int>(std::lrint(value));
}

inline long long __float2ll_rn(float value) {
    return std::llrint(value);
}

/// A sum in fixed point must not overflow.
inline int atomicAdd(int* to, int value) {
    const int before = *to;
    if (__builtin_add_overflow(before, value, to)) {
        std::fprintf(stderr, "cuda_on_cpu: a sum overflows\n");
        std::abort();
    }
    return before;
}

template <class T>
T atomicAdd(T* to, T value) {
    const T before = *to;
    *to = before + value;
    return before;
}

template <class T>
T atomicCAS(T* to, T expected, T value) {
    const T before = *to;
    if (before == expected) *to = value;
    return before;
}
