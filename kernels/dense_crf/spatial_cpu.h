#pragma once

#include "dense_crf/isa.h"
#include "dense_crf/partition.h"

namespace edgeseg::dense_crf {

/// One axis of a spatial term.
struct SpatialAxis {
    float* taps;  // radius + 1
    float* norm;  // N^-1/2 of each grid row or column; 0 beyond the image
    int radius;

    /// The most taps that an axis of so many grid points has.
    static int most_taps(int grid_size) { return grid_size + 1; }

    /// For `size` pixels on `grid_size` points, `step` pixels apart; taps and norm have room.
    void fill(float sigma, int size, int grid_size, int step);
};

/// The spatial terms: separable Gaussians over the whole image, at half its resolution where they are wide enough.
class Spatial {
  public:
    Spatial(const Params& params, const Tiling& tiling, int stride, int threads, Carver& carver);

    /// Fills taps and norms.
    void prepare();

    /// From `sums` to `messages`: the weighted sum of all terms, times the compatibility where there is one.
    void filter(const float* compatibility) const;

    const Grid& grid() const { return grid_; }
    float* sums() const { return sums_; }
    const float* messages() const { return messages_; }

  private:
    const Params& p_;
    const Tiling& tiling_;
    const Isa& isa_ = isa();
    int stride_;
    int threads_;
    Grid grid_;
    SpatialAxis x_[kMaxTerms] = {}, y_[kMaxTerms] = {};
    float* sums_ = nullptr;  // (grid, stride), like the next two; null where there are no terms
    float* filtered_ = nullptr;
    float* messages_ = nullptr;
};

}  // namespace edgeseg::dense_crf
