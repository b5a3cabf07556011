#pragma once

#include "dense_crf/isa.h"

/// Spatial terms: separable Gaussians over the whole image, at half its resolution where they are wide enough.
namespace edgeseg::dense_crf {

/// The grid that serves all spatial terms of `params`.
Grid grid_for(const Params& params, const Tiling& tiling);

/// One axis of a spatial term.
struct SpatialAxis {
    float* taps;  // radius + 1
    float* norm;  // N^-1/2 of each grid row or column; 0 beyond the image
    int radius;

    /// The most taps an axis of so many grid points can have.
    static int most_taps(int grid_size) { return grid_size + 1; }

    /// For `size` pixels on `grid_size` points; taps and norm have room.
    void fill(float sigma, int size, int grid_size, int step);
};

}  // namespace edgeseg::dense_crf
