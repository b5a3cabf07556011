#pragma once

#include <cstddef>
#include <cstdint>

#include "dense_crf/layout.h"
#include "parallel/view.h"

/// From pixels to the points that enter the lattices.
namespace edgeseg::dense_crf {

/// When neighbours may enter as one: their colours span no more than this, in each channel.
struct Merging {
    int range[3] = {-1, -1, -1};
    Run most = 1;  // pixels of a point

    /// Up to this share of every term's colour sigma, and as far as their sigmas in pixels allow.
    static Merging within(const BilateralTerm* terms, int count, float share);
};

/// The points of a row of tiles, in order: how many pixels each has, and into `raw`, (5, distance), their mean x, y and
/// colours. Returns how many.
int write_points(const parallel::View<const std::uint8_t, 3>& image, const Tiling& tiling, int tile_row,
                 const Merging& merging, Run* runs, float* raw, std::ptrdiff_t distance);

}  // namespace edgeseg::dense_crf
