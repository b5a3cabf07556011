#pragma once

#include <cstddef>
#include <cstdint>

#include "dense_crf/op.h"
#include "parallel/stream.h"

/// The CUDA driver. Every pixel is a point of the lattices here, at either quality, and the same input gives the same
/// bits on every run.
namespace edgeseg::dense_crf {

/// As what values lie in device memory between kernels. All sums are floats.
enum class Storage : std::uint8_t { kFloat, kHalf };

/// The size of the device memory that a run with at most `vertices` vertices in any lattice needs, aligned to 64 bytes.
std::size_t workspace_bytes_cuda(const Params& params, int vertices, Storage storage);

/// All pointers in device memory but those to the terms. Allocates nothing and waits for nothing, so that it can be
/// captured into a CUDA graph, which then holds the terms as they are now. Where some lattice has more than `vertices`
/// vertices, the overflow flag is 1 and the results mean nothing. Throws std::runtime_error where a launch fails.
void run_cuda(const Params& params, void* workspace, int vertices, Storage storage, parallel::CudaStream stream);

/// Where in device memory the last run with this workspace has left 0, or 1 for an overflow.
int* overflow_flag(void* workspace);

}  // namespace edgeseg::dense_crf
