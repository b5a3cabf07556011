#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>

/// Blocks of threads that work together. kernels/tests/cuda_on_cpu has a stand-in for this file.
namespace edgeseg::dense_crf::gpu {

inline constexpr int kMostThreads = 256;     // of a block
inline constexpr int kMostBlocks = 1 << 14;  // for rows: threads go round from there

/// What a block of threads shares; each body divides it up for itself.
extern __shared__ __align__(16) unsigned char shared_memory[];

inline void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA launch failed: ") + cudaGetErrorString(error));
}

template <class Body>
__global__ void __launch_bounds__(kMostThreads) block_kernel(const __grid_constant__ Body body) {
    body();
}

/// body() in every thread of every block.
template <class Body>
void launch(const dim3& blocks, const dim3& threads, std::size_t shared_bytes, cudaStream_t stream, const Body& body) {
    block_kernel<<<blocks, threads, shared_bytes, stream>>>(body);
    check(cudaGetLastError());
}

}  // namespace edgeseg::dense_crf::gpu
