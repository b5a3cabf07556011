#include "dense_crf/spatial_cpu.h"

#include <algorithm>
#include <cmath>

#include "dense_crf/spatial.h"

namespace edgeseg::dense_crf {
namespace {

Grid grid_for(const Params& params, const Tiling& tiling) {
    const int step = grid_step(params);
    if (step == 1) return {tiling.height, tiling.width, step};
    return {tiling.rows * (kTile / kCell), tiling.columns * (kTile / kCell), step};
}

}  // namespace

void SpatialAxis::fill(float sigma, int size, int grid_size, int step) {
    const GridGaussian gaussian(sigma, step, grid_size);
    radius = gaussian.radius;
    double sum = 0;
    for (int k = 0; k <= radius; ++k) {
        taps[k] = static_cast<float>(std::exp(-0.5 * k * k / gaussian.variance));
        sum += (k == 0 ? 1 : 2) * taps[k];
    }
    for (int k = 0; k <= radius; ++k) taps[k] = static_cast<float>(taps[k] / (sum * step));
    const auto pixels = [&](int i) { return std::clamp(size - i * step, 0, step); };
    for (int i = 0; i < grid_size; ++i) {
        double total = 0;
        for (int k = std::max(0, i - radius); k <= std::min(grid_size - 1, i + radius); ++k) {
            total += taps[std::abs(i - k)] * pixels(k);
        }
        norm[i] = pixels(i) ? static_cast<float>(1 / std::sqrt(total)) : 0.0f;
    }
}

Spatial::Spatial(const Params& params, const Tiling& tiling, int stride, int threads, Carver& carver)
    : p_(params), tiling_(tiling), stride_(stride), threads_(threads), grid_(grid_for(params, tiling)) {
    if (!params.spatial_count) return;
    for (int t = 0; t < params.spatial_count; ++t) {
        carver.take(x_[t].taps, SpatialAxis::most_taps(grid_.width));
        carver.take(x_[t].norm, grid_.width);
        carver.take(y_[t].taps, SpatialAxis::most_taps(grid_.height));
        carver.take(y_[t].norm, grid_.height);
    }
    const std::ptrdiff_t values = static_cast<std::ptrdiff_t>(grid_.height) * grid_.width * stride;
    carver.take(sums_, values);
    carver.take(filtered_, values);
    carver.take(messages_, values);
}

void Spatial::prepare() {
    for (int t = 0; t < p_.spatial_count; ++t) {
        x_[t].fill(p_.spatial[t].sigma_x, tiling_.width, grid_.width, grid_.step);
        y_[t].fill(p_.spatial[t].sigma_y, tiling_.height, grid_.height, grid_.step);
    }
}

void Spatial::filter(const float* compatibility) const {
    constexpr int kLines = 8;      // that a thread takes at a time
    constexpr int kPoints = 1024;  // likewise
    for (int t = 0; t < p_.spatial_count; ++t) {
        const Filter along_x{.grid = grid_,
                             .stride = stride_,
                             .along_x = true,
                             .taps = x_[t].taps,
                             .radius = x_[t].radius,
                             .norm = x_[t].norm,
                             .weight = 1,
                             .add = false,
                             .from = sums_,
                             .to = filtered_};
        const Filter along_y{.grid = grid_,
                             .stride = stride_,
                             .along_x = false,
                             .taps = y_[t].taps,
                             .radius = y_[t].radius,
                             .norm = y_[t].norm,
                             .weight = p_.spatial[t].weight,
                             .add = t > 0,
                             .from = filtered_,
                             .to = messages_};
        in_parts(grid_.height, kLines, threads_, [&](int begin, int end) { isa_.filter(along_x, begin, end); });
        in_parts(grid_.width, kLines, threads_, [&](int begin, int end) { isa_.filter(along_y, begin, end); });
    }
    if (p_.spatial_count && compatibility) {
        const std::ptrdiff_t points = static_cast<std::ptrdiff_t>(grid_.height) * grid_.width;
        in_parts(points, kPoints, threads_, [&](int begin, int end) {
            isa_.mix(compatibility, p_.probabilities.size[1], stride_, begin, end, messages_);
        });
    }
}

}  // namespace edgeseg::dense_crf
