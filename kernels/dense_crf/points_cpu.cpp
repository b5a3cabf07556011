#include "dense_crf/points_cpu.h"

#include <algorithm>

namespace edgeseg::dense_crf {
namespace {

// Tiles, or cells, are merged where sigma is at least so many pixels.
constexpr float kLeastSigmaForTiles = 16;
constexpr float kLeastSigmaForCells = 8;

/// The least and greatest of each channel over some pixels.
struct ColorBox {
    std::uint8_t low[3] = {255, 255, 255};
    std::uint8_t high[3] = {0, 0, 0};

    void add(const std::uint8_t* color) {
        for (int c = 0; c < 3; ++c) {
            low[c] = std::min(low[c], color[c]);
            high[c] = std::max(high[c], color[c]);
        }
    }

    void add(const ColorBox& other) {
        add(other.low);
        add(other.high);
    }

    bool within(const Merging& merging) const {
        for (int c = 0; c < 3; ++c) {
            if (high[c] - low[c] > merging.range[c]) return false;
        }
        return true;
    }
};

/// Appends points to a row of tiles.
class Writer {
  public:
    Writer(const parallel::View<const std::uint8_t, 3>& image, int y, Run* runs, float* raw, std::ptrdiff_t distance)
        : image_(image), y_(y), runs_(runs), raw_(raw), distance_(distance) {}

    /// Pixels first to first + count of the tile at x.
    void add(int x, int first, int count) {
        int color[3] = {};
        for (int i = first; i < first + count; ++i) {
            const std::uint8_t* pixel = image_.at(y_ + row_in_tile(i), x + column_in_tile(i));
            for (int c = 0; c < 3; ++c) color[c] += pixel[c];
        }
        // Runs are squares: the middle lies between the first pixel and the last.
        const int last = first + count - 1;
        raw_[points_] = x + 0.5f * static_cast<float>(column_in_tile(first) + column_in_tile(last));
        raw_[distance_ + points_] = y_ + 0.5f * static_cast<float>(row_in_tile(first) + row_in_tile(last));
        for (int c = 0; c < 3; ++c) {
            raw_[(2 + c) * distance_ + points_] = static_cast<float>(color[c]) / static_cast<float>(count);
        }
        runs_[points_++] = static_cast<Run>(count);
    }

    void add_outside() {
        for (int i = 0; i < kFeatures; ++i) raw_[i * distance_ + points_] = 0;
        runs_[points_++] = 0;
    }

    int points() const { return points_; }

  private:
    const parallel::View<const std::uint8_t, 3>& image_;
    int y_;
    Run* runs_;
    float* raw_;
    std::ptrdiff_t distance_;
    int points_ = 0;
};

}  // namespace

Merging Merging::within(const BilateralTerm* terms, int count, float share) {
    Merging merging;
    float sigma_xy = 1e9f;
    float sigma_color[3] = {1e9f, 1e9f, 1e9f};
    for (int t = 0; t < count; ++t) {
        sigma_xy = std::min({sigma_xy, terms[t].sigma_x, terms[t].sigma_y});
        for (int c = 0; c < 3; ++c) sigma_color[c] = std::min(sigma_color[c], terms[t].sigma_color[c]);
    }
    for (int c = 0; c < 3; ++c) merging.range[c] = static_cast<int>(std::min(share * sigma_color[c], 255.0f));
    merging.most = sigma_xy >= kLeastSigmaForTiles ? kTilePixels : sigma_xy >= kLeastSigmaForCells ? kCellPixels : 1;
    return merging;
}

int write_points(const parallel::View<const std::uint8_t, 3>& image, const Tiling& tiling, int tile_row,
                 const Merging& merging, Run* runs, float* raw, std::ptrdiff_t distance) {
    const int y = tile_row * kTile;
    Writer writer(image, y, runs, raw, distance);
    for (int x = 0; x < tiling.width; x += kTile) {
        if (y + kTile > tiling.height || x + kTile > tiling.width) {
            for (int i = 0; i < kTilePixels; ++i) {
                const bool inside = y + row_in_tile(i) < tiling.height && x + column_in_tile(i) < tiling.width;
                inside ? writer.add(x, i, 1) : writer.add_outside();
            }
            continue;
        }
        bool cell_is_one[kTileCells] = {};
        bool tile_is_one = false;
        if (merging.most > 1) {
            ColorBox tile;
            for (int k = 0; k < kTileCells; ++k) {
                ColorBox cell;
                for (int i = k * kCellPixels; i < (k + 1) * kCellPixels; ++i) {
                    cell.add(image.at(y + row_in_tile(i), x + column_in_tile(i)));
                }
                cell_is_one[k] = cell.within(merging);
                tile.add(cell);
            }
            tile_is_one = merging.most == kTilePixels && tile.within(merging);
        }
        if (tile_is_one) {
            writer.add(x, 0, kTilePixels);
            continue;
        }
        for (int k = 0; k < kTileCells; ++k) {
            const int size = cell_is_one[k] ? kCellPixels : 1;
            for (int i = k * kCellPixels; i < (k + 1) * kCellPixels; i += size) writer.add(x, i, size);
        }
    }
    return writer.points();
}

}  // namespace edgeseg::dense_crf
