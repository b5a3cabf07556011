#pragma once

#include <cstddef>
#include <cstdint>

#include "dense_crf/op_body.h"

/// How the GPU divides an image: into tiles of pixels, each the work of one block.
///
/// A tile's pixels touch few vertices: of 16x16 pixels of a street, with 1536 corners of simplices, 120 to 150. So each
/// tile sums up what it has for a vertex before that leaves the block, which leaves a tenth of the traffic.
namespace edgeseg::dense_crf::gpu {

/// The most corners that one thread sums. A vertex of a smooth tile has up to 256 and most have a few: pieces of this
/// length keep the threads evenly busy.
inline constexpr int kMostInGroup = 32;

struct Tiles {
    int height, width;          // of the image
    int log_height, log_width;  // of a tile
    int rows, columns;

    /// As large as its rows of classes fit into shared memory.
    Tiles(int height, int width, int lanes) : height(height), width(width) {
        log_width = lanes == 1 ? 4 : 3;
        log_height = lanes == 1 ? 4 : lanes < 8 ? 3 : 2;
        rows = (height + (1 << log_height) - 1) >> log_height;
        columns = (width + (1 << log_width) - 1) >> log_width;
    }

    EDGESEG_HOST_DEVICE int count() const { return rows * columns; }
    EDGESEG_HOST_DEVICE int pixels() const { return 1 << (log_height + log_width); }
    EDGESEG_HOST_DEVICE int corners() const { return kCorners * pixels(); }
    EDGESEG_HOST_DEVICE int top(int tile) const { return tile / columns << log_height; }
    EDGESEG_HOST_DEVICE int left(int tile) const { return tile % columns << log_width; }
    EDGESEG_HOST_DEVICE int y(int tile, int pixel) const { return top(tile) + (pixel >> log_width); }
    EDGESEG_HOST_DEVICE int x(int tile, int pixel) const { return left(tile) + (pixel & ((1 << log_width) - 1)); }
};

/// One tile's corners in one lattice, grouped by vertex. Corner k of pixel p is number k * pixels + p.
struct TileGroups {
    float* weight;            // (corners): barycentric
    std::uint16_t* group_of;  // (corners)
    std::uint16_t* corners;   // numbers of corners, in order of groups
    std::uint16_t* begin;     // (groups + 1): where in that order each group begins
    std::uint32_t* vertex;    // (groups)
    int* groups;
};

/// Those of all lattices and tiles.
struct Groups {
    static constexpr int kPadding = 8;  // of begin, which has one more

    int tiles;
    int corners_a_tile;
    float* weight;
    std::uint16_t* group_of;
    std::uint16_t* corners;
    std::uint16_t* begin;
    std::uint32_t* vertex;
    int* groups;

    EDGESEG_HOST_DEVICE TileGroups at(int lattice, int tile) const {
        const std::ptrdiff_t index = static_cast<std::ptrdiff_t>(lattice) * tiles + tile;
        const std::ptrdiff_t first = index * corners_a_tile;
        return {weight + first, group_of + first, corners + first, begin + first + index * kPadding,
                vertex + first, groups + index};
    }
};

}  // namespace edgeseg::dense_crf::gpu
