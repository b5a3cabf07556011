#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "dense_crf/block.cuh"

/// How bodies are launched whose threads work together, or whose number of elements only the device knows.
namespace edgeseg::dense_crf::gpu {

/// body() in every thread of `layers` layers of blocks.
template <class Body>
void for_blocks(int blocks, int layers, int threads, std::size_t shared_bytes, cudaStream_t stream, const Body& body) {
    launch(dim3(blocks, layers), dim3(threads), shared_bytes, stream, body);
}

/// One thread's share of the rows of a layer.
template <class Body>
struct RowsOfThread {
    Body body;

    __device__ __forceinline__ void operator()() const {
        const int layer = static_cast<int>(blockIdx.y);
        const int rows = body.rows(layer);
        const int step = static_cast<int>(gridDim.x * blockDim.y);
        for (int row = static_cast<int>(blockIdx.x * blockDim.y + threadIdx.y); row < rows; row += step) {
            body(layer, row, static_cast<int>(threadIdx.x));
        }
    }
};

/// body(layer, row, column) for rows 0 to body.rows(layer), which is asked on the device and is at most `most_rows`.
/// Neighbouring threads have neighbouring columns.
template <class Body>
void for_rows(int layers, int most_rows, int columns, cudaStream_t stream, const Body& body) {
    const dim3 threads(columns, kMostThreads / columns);
    const int blocks = static_cast<int>((static_cast<unsigned>(most_rows) + threads.y - 1) / threads.y);
    launch(dim3(blocks < kMostBlocks ? blocks : kMostBlocks, layers), threads, 0, stream, RowsOfThread<Body>{body});
}

}  // namespace edgeseg::dense_crf::gpu
