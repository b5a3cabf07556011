#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace edgeseg::parallel {

template <class Body>
__global__ void for_each_kernel(int images, int height, int width, Body body) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    for (int n = blockIdx.z; n < images; n += gridDim.z) body(n, y, x);
}

/// The CUDA driver: body(n, y, x) for every pixel of `images` images, one thread each, in order on `stream`.
/// Throws std::runtime_error where the launch fails.
template <class Body>
void for_each(int images, int height, int width, cudaStream_t stream, const Body& body) {
    const dim3 block(32, 8);
    const dim3 grid((width + block.x - 1) / block.x, (height + block.y - 1) / block.y, images < 65535 ? images : 65535);
    for_each_kernel<<<grid, block, 0, stream>>>(images, height, width, body);
    if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) {
        throw std::runtime_error(std::string("CUDA launch failed: ") + cudaGetErrorString(error));
    }
}

}  // namespace edgeseg::parallel
