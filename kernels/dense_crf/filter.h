#pragma once

#include <optional>

#include "dense_crf/lattice_cpu.h"
#include "dense_crf/op.h"
#include "parallel/aligned_buffer.h"

namespace edgeseg::dense_crf {

/// The filter N^-1/2 K N^-1/2 of one bilateral term on its own, on the CPU: what learning its weight takes.
class BilateralFilter {
  public:
    /// For images of (height, width) and values of `channels`, 1 to 255. The term's weight is not used.
    BilateralFilter(int height, int width, int channels, const BilateralTerm& term, Quality quality, int threads);

    /// Whether the lattice can number the cells of this sigma at this size of image.
    bool fits() const { return dense_crf::fits(params_); }

    /// Prepares for an image, (height, width, 3).
    void build(const std::uint8_t* image);

    /// Filters (channels, height, width) values; `transposed` filters by the transpose, which differs by the order in
    /// which the lattice is blurred.
    void apply(const float* values, float* out, bool transposed);

  private:
    void lay_out();

    BilateralTerm term_;
    Params params_;
    int threads_;
    int stride_;
    int most_vertices_;
    Tiling tiling_;
    parallel::AlignedBuffer memory_;
    std::optional<Lattices> lattices_;
    float* rows_ = nullptr;
};

}  // namespace edgeseg::dense_crf
