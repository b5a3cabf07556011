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

}  // namespace

Grid grid_for(const Params& params, const Tiling& tiling) {
    float least = kLeastSigmaOnCells;
    for (int t = 0; t < params.spatial_count; ++t) {
        least = std::min({least, params.spatial[t].sigma_x, params.spatial[t].sigma_y});
    }
    if (least < kLeastSigmaOnCells) return {tiling.height, tiling.width, 1};
    return {tiling.rows * (kTile / kCell), tiling.columns * (kTile / kCell), kCell};
}

void SpatialAxis::fill(float sigma, int size, int grid_size, int step) {
    const double variance = (static_cast<double>(sigma) * sigma - (step == 1 ? 0.0 : kCellVariance)) / (step * step);
    radius = std::min(grid_size - 1, static_cast<int>(std::ceil(kReach * std::sqrt(variance))));
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

}  // namespace edgeseg::dense_crf
