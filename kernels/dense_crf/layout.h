#pragma once

#include <cstdint>

#include "dense_crf/op_body.h"

/// How the CPU lays out an image: in tiles of 4x4 pixels, each as four cells of 2x2, so that whatever is merged into
/// one point of the lattice lies side by side in memory.
namespace edgeseg::dense_crf {

inline constexpr int kTile = 4;
inline constexpr int kTilePixels = kTile * kTile;
inline constexpr int kCell = 2;
inline constexpr int kCellPixels = kCell * kCell;
inline constexpr int kTileCells = kTilePixels / kCellPixels;

/// The row and column within the tile of its pixel i.
constexpr int row_in_tile(int i) {
    return (i >> 3 << 1) | (i >> 1 & 1);
}
constexpr int column_in_tile(int i) {
    return (i >> 2 & 1) << 1 | (i & 1);
}

struct Tiling {
    int height, width;  // of the image
    int rows, columns;  // tiles

    Tiling(int height, int width)
        : height(height), width(width), rows((height + kTile - 1) / kTile), columns((width + kTile - 1) / kTile) {}

    std::ptrdiff_t pixels_a_row() const { return static_cast<std::ptrdiff_t>(columns) * kTilePixels; }
    std::ptrdiff_t pixels() const { return rows * pixels_a_row(); }
};

/// Neighbouring pixels that enter the lattices together: 1, 4 or 16; 0 for one pixel of a tile beyond the image's edge.
using Run = std::uint8_t;

/// Where a point lies in a lattice.
struct Corners {
    std::uint32_t vertex[kCorners];
    float weight[kCorners];
};

/// The vertices before and after one along one axis; absent ones are the row of zeros behind the last.
struct Neighbours {
    std::uint32_t before, after;
};

/// A permutohedral lattice over the points of an image. A vertex's values are a row of floats.
struct Lattice {
    int term;  // index of the bilateral term it filters for
    KeySpace space;
    float per_feature[kFeatures];  // features of a pixel: its x, y and colours times this, plus
    float shift[kFeatures];
    Corners* corners;        // of every point
    Neighbours* neighbours;  // (kCorners, vertices)
    float* values;           // (vertices + 1, stride): what is sliced
    float* scratch;          // likewise
    float* splatted;         // (threads, vertices, stride)
    int vertices;
};

}  // namespace edgeseg::dense_crf
