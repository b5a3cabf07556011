#include "dense_crf/spatial_cpu.h"

#include <algorithm>
#include <cmath>

namespace edgeseg::dense_crf {
namespace {

/// Narrower Gaussians than this, in pixels, are summed pixel by pixel.
constexpr float kLeastSigmaOnCells = 2.0f;

/// Where the taps end, in sigmas.
constexpr float kReach = 3.5f;

/// What summing over cells and interpolating between them adds to a Gaussian's variance, in pixels^2: 1/4 by placing
/// each pixel at its cell's centre, 3/4 by the linear interpolation back.
constexpr float kCellVariance = 1.0f;

/// The grid that serves all spatial terms.
Grid grid_for(const Params& params, const Tiling& tiling) {
    float least = kLeastSigmaOnCells;
    for (int t = 0; t < params.spatial_count; ++t) {
        least = std::min({least, params.spatial[t].sigma_x, params.spatial[t].sigma_y});
    }
    if (least < kLeastSigmaOnCells) return {tiling.height, tiling.width, 1};
    return {tiling.rows * (kTile / kCell), tiling.columns * (kTile / kCell), kCell};
}

}  // namespace

void SpatialAxis::fill(float sigma, int size, int grid_size, int step) {
    const double variance = (static_cast<double>(sigma) * sigma - (step == 1 ? 0.0 : kCellVariance)) / (step * step);
    radius = static_cast<int>(std::min(grid_size - 1.0, std::ceil(kReach * std::sqrt(variance))));
    double sum = 0;
    for (int k = 0; k <= radius; ++k) {
        taps[k] = static_cast<float>(std::exp(-0.5 * k * k / variance));
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
