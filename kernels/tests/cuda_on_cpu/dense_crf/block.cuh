#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "fibers.h"

/// The stand-in for kernels/dense_crf/block.cuh.
namespace edgeseg::dense_crf::gpu {

inline constexpr int kMostThreads = 256;
inline constexpr int kMostBlocks = 5;  // few, so that threads go round

extern unsigned char shared_memory[2 * cuda_on_cpu::kSharedBytes];

inline void check(cudaError_t) {}

template <class Body>
void launch(const dim3& blocks, const dim3& threads, std::size_t shared_bytes, cudaStream_t, const Body& body) {
    cuda_on_cpu::run_blocks(blocks, threads, shared_bytes, [&body] { body(); });
}

}  // namespace edgeseg::dense_crf::gpu
