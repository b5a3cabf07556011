#include "dense_crf/filter.h"

namespace edgeseg::dense_crf {

BilateralFilter::BilateralFilter(int height, int width, int channels, const BilateralTerm& term, Quality quality,
                                 int threads)
    : term_(term),
      threads_(std::min(threads, kMostThreads)),
      stride_(stride_of(isa(), channels)),
      tiling_(height, width) {
    term_.weight = 1;
    params_.probabilities = {nullptr, {1, channels, height, width}};
    params_.marginals = {nullptr, {1, channels, height, width}};
    params_.image = {nullptr, {1, height, width, 3}};
    params_.bilateral_count = 1;
    params_.bilateral = &term_;
    params_.quality = quality;
    most_vertices_ = usual_vertices(params_);
}

void BilateralFilter::lay_out() {
    const auto lay_out_in = [&](void* memory) {
        Carver carver(memory);
        lattices_.emplace(&term_, 1, params_.quality, tiling_, stride_, most_vertices_, threads_, carver);
        carver.take(rows_, tiling_.pixels() * stride_);
        return carver.bytes();
    };
    const std::size_t bytes = lay_out_in(nullptr);
    lattices_.reset();  // where there is not so much memory, none must seem to be there
    lay_out_in(memory_.at_least(bytes));
}

void BilateralFilter::build(const std::uint8_t* image) {
    if (!lattices_) lay_out();
    while (!lattices_->build({image, {tiling_.height, tiling_.width, 3}})) {
        most_vertices_ = more_vertices(most_vertices_);
        lay_out();
    }
}

void BilateralFilter::apply(const float* values, float* out, bool transposed) {
    params_.probabilities.data = values;
    params_.marginals.data = out;
    const Sweep sweep{.params = params_,
                      .image = 0,
                      .tiling = tiling_,
                      .stride = stride_,
                      .unaries = rows_,
                      .runs = lattices_->runs(),
                      .lattices = lattices_->begin(),
                      .lattice_count = lattices_->count(),
                      .scale = lattices_->scale(),
                      .compatibility = nullptr,
                      .messages = nullptr,
                      .sums = nullptr,
                      .grid = {},
                      .highest = 0};
    const Isa& best = isa();
    each_row(tiling_, threads_, [&](int thread, int row) {
        best.write_rows(params_, 0, tiling_, row, stride_, rows_ + row * tiling_.pixels_a_row() * stride_);
        best.sweep(sweep, Step::kSplat, row, thread);
    });
    lattices_->blur(transposed);
    each_row(tiling_, threads_, [&](int thread, int row) { best.sweep(sweep, Step::kSlice, row, thread); });
}

}  // namespace edgeseg::dense_crf
