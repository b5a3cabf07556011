#pragma once

#include <cstdint>

/// Mean field in a fully connected CRF by summing over all pairs of pixels, with which dense_crf/op.h is compared: the
/// same equation, without lattice, merging, lower resolution or truncation. A frame of 480x360 takes minutes.
///
/// A plain C function, so that benchmarks/dense_crf.py can call it.
extern "C" {

/// Args:
///     probabilities: (classes, height, width); values under 1e-5 count as that.
///     image: (height, width, 3).
///     bilateral: (bilateral_count, 6): sigma x, y in pixels, sigma of three channels in levels, weight.
///     spatial: (spatial_count, 3): sigma x, y in pixels, weight.
///     compatibility: (classes, classes), or null for Potts.
///     threads: the most to use; 0 for all cores.
///     marginals: (classes, height, width), written.
__attribute__((visibility("default"))) void edgeseg_dense_crf_exact(int classes, int height, int width,
                                                                    const float* probabilities,
                                                                    const std::uint8_t* image, const float* bilateral,
                                                                    int bilateral_count, const float* spatial,
                                                                    int spatial_count, const float* compatibility,
                                                                    int iterations, int threads, float* marginals);
}
