#pragma once

#include <cuda_runtime.h>

/// The stand-in for kernels/parallel/for_each.cuh.
namespace edgeseg::parallel {

template <class Body>
void for_each(int images, int height, int width, cudaStream_t, const Body& body) {
    for (int n = 0; n < images; ++n) {
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) body(n, y, x);
        }
    }
}

}  // namespace edgeseg::parallel
