#pragma once

#include <algorithm>
#include <cmath>

#include "dense_crf/layout.h"
#include "dense_crf/op.h"

/// On what grid spatial terms are summed, and their Gaussians there: the same on CPU and GPU. Host only.
namespace edgeseg::dense_crf {

/// Narrower Gaussians than this, in pixels, are summed pixel by pixel.
inline constexpr float kLeastSigmaOnCells = 2.0f;

/// Where the taps end, in sigmas.
inline constexpr float kReach = 3.5f;

/// What summing over cells and interpolating between them adds to a Gaussian's variance, in pixels^2: 1/4 by placing
/// each pixel at its cell's centre, 3/4 by the linear interpolation back.
inline constexpr float kCellVariance = 1.0f;

/// The pixels from one point to the next of the grid that serves all spatial terms: kCell or 1.
inline int grid_step(const Params& params) {
    for (int t = 0; t < params.spatial_count; ++t) {
        if (std::min(params.spatial[t].sigma_x, params.spatial[t].sigma_y) < kLeastSigmaOnCells) return 1;
    }
    return kCell;
}

/// A term's Gaussian along one axis of the grid.
struct GridGaussian {
    double variance;  // in steps^2
    int radius;       // of its taps, in steps

    GridGaussian(float sigma, int step, int points)
        : variance((static_cast<double>(sigma) * sigma - (step == 1 ? 0.0 : kCellVariance)) / (step * step)),
          radius(static_cast<int>(std::min(points - 1.0, std::ceil(kReach * std::sqrt(variance))))) {}
};

}  // namespace edgeseg::dense_crf
