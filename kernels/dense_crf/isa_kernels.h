/// The inner loops of one instruction set. A source file defines EDGESEG_ISA, its name, and EDGESEG_LANES, the floats
/// of a register, and includes this; it is compiled with that set's flags. Everything here lies in a namespace of its
/// own: an inline function shared with another file could be the one that the linker keeps, and fail on a lesser CPU.

#include <utility>

#include "dense_crf/isa.h"
#include "dense_crf/rows.h"

namespace edgeseg::dense_crf::EDGESEG_ISA {
namespace {

// ---------------------------------------------------------------- tiles and rows

/// Transposes 4x4 floats.
EDGESEG_INLINE void transpose(Float4 (&rows)[4]) {
    const Float4 a = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
    const Float4 b = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    const Float4 c = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
    const Float4 d = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    rows[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

EDGESEG_INLINE Float4 load4(const float* from) {
    Float4 floats;
    std::memcpy(&floats, from, sizeof floats);
    return floats;
}

EDGESEG_INLINE void store4(Float4 floats, float* to) {
    std::memcpy(to, &floats, sizeof floats);
}

/// Swaps the two middle pairs: four rows of four pixels become four cells, and cells become rows again.
EDGESEG_INLINE void cells_from_rows(Float4 (&rows)[4]) {
    for (int i = 0; i < 4; i += 2) {
        const Float4 left = __builtin_shufflevector(rows[i], rows[i + 1], 0, 1, 4, 5);
        const Float4 right = __builtin_shufflevector(rows[i], rows[i + 1], 2, 3, 6, 7);
        rows[i] = left;
        rows[i + 1] = right;
    }
}

/// The 16 values of one plane under a tile, in tile order; what lies beyond the image repeats its edge.
EDGESEG_INLINE void read_tile(const float* plane, const Tiling& tiling, int y, int x, float* tile) {
    if (y + kTile <= tiling.height && x + kTile <= tiling.width) {
        Float4 rows[4];
        for (int i = 0; i < 4; ++i) rows[i] = load4(plane + static_cast<std::ptrdiff_t>(y + i) * tiling.width + x);
        cells_from_rows(rows);
        for (int i = 0; i < 4; ++i) store4(rows[i], tile + 4 * i);
        return;
    }
    for (int i = 0; i < kTilePixels; ++i) {
        const int row = y + row_in_tile(i) < tiling.height ? y + row_in_tile(i) : tiling.height - 1;
        const int column = x + column_in_tile(i) < tiling.width ? x + column_in_tile(i) : tiling.width - 1;
        tile[i] = plane[static_cast<std::ptrdiff_t>(row) * tiling.width + column];
    }
}

EDGESEG_INLINE void write_tile(const float* tile, const Tiling& tiling, int y, int x, float* plane) {
    if (y + kTile <= tiling.height && x + kTile <= tiling.width) {
        Float4 rows[4];
        for (int i = 0; i < 4; ++i) rows[i] = load4(tile + 4 * i);
        cells_from_rows(rows);
        for (int i = 0; i < 4; ++i) store4(rows[i], plane + static_cast<std::ptrdiff_t>(y + i) * tiling.width + x);
        return;
    }
    for (int i = 0; i < kTilePixels; ++i) {
        const int row = y + row_in_tile(i);
        const int column = x + column_in_tile(i);
        if (row < tiling.height && column < tiling.width) {
            plane[static_cast<std::ptrdiff_t>(row) * tiling.width + column] = tile[i];
        }
    }
}

/// The planes of one row of tiles as rows, each value through `map`; `padding` behind the last class.
template <class Map>
EDGESEG_INLINE void write_mapped(const Params& params, int image, const Tiling& tiling, int tile_row, int stride,
                                 float padding, const Map& map, float* to) {
    const int classes = params.probabilities.size[1];
    for (int column = 0; column < tiling.columns; ++column, to += kTilePixels * stride) {
        for (int c = 0; c < stride; c += 4) {
            alignas(64) float tile[4][kTilePixels];
            for (int i = 0; i < 4; ++i) {
                if (c + i >= classes) {
                    for (float& value : tile[i]) value = padding;
                    continue;
                }
                read_tile(params.probabilities.at(image, c + i), tiling, tile_row * kTile, column * kTile, tile[i]);
                for (int k = 0; k < kTilePixels; k += EDGESEG_LANES) store(map(load(tile[i] + k)), tile[i] + k);
            }
            for (int k = 0; k < kTilePixels; k += 4) {
                Float4 rows[4];
                for (int i = 0; i < 4; ++i) rows[i] = load4(tile[i] + k);
                transpose(rows);
                for (int i = 0; i < 4; ++i) store4(rows[i], to + (k + i) * stride + c);
            }
        }
    }
}

void write_unaries(const Params& params, int image, const Tiling& tiling, int tile_row, int stride, float* unaries) {
    const auto log_of = [](Floats p) { return log(max(p, Floats{} + kLeastProbability)); };
    write_mapped(params, image, tiling, tile_row, stride, kNever, log_of, unaries);
}

void write_rows(const Params& params, int image, const Tiling& tiling, int tile_row, int stride, float* rows) {
    write_mapped(params, image, tiling, tile_row, stride, 0, [](Floats value) { return value; }, rows);
}

/// A tile of rows back into the planes of the marginals.
void write_marginals(const float* rows, const Params& params, int image, const Tiling& tiling, int y, int x,
                     int stride) {
    const int classes = params.probabilities.size[1];
    for (int c = 0; c < classes; c += 4) {
        alignas(64) float tile[4][kTilePixels];
        for (int k = 0; k < kTilePixels; k += 4) {
            Float4 values[4];
            for (int i = 0; i < 4; ++i) values[i] = load4(rows + (k + i) * stride + c);
            transpose(values);
            for (int i = 0; i < 4; ++i) store4(values[i], tile[i] + k);
        }
        for (int i = 0; i < 4 && c + i < classes; ++i) {
            write_tile(tile[i], tiling, y, x, params.marginals.at(image, c + i));
        }
    }
}

// ---------------------------------------------------------------- the lattice

/// Several points at a time.
struct Pack {
    using Real = Floats;
    using Int = Ints;
    static EDGESEG_INLINE Ints floor(Floats value) {
        const Ints toward_zero = __builtin_convertvector(value, Ints);
        return toward_zero + (value < real(toward_zero));
    }
    static EDGESEG_INLINE Floats real(Ints value) { return __builtin_convertvector(value, Floats); }
    static EDGESEG_INLINE Ints less(Floats a, Floats b) { return a < b; }
    static EDGESEG_INLINE Ints less(Ints a, Ints b) { return a < b; }
    static EDGESEG_INLINE Floats where(Ints condition, Floats value) { return condition ? value : Floats{}; }
};

void find_corners(const Lattice& lattice, const float* raw, std::ptrdiff_t distance, int count, std::int64_t* keys,
                  Corners* corners) {
    for (int begin = 0; begin < count; begin += EDGESEG_LANES) {
        Floats features[kFeatures];
        for (int i = 0; i < kFeatures; ++i) {
            features[i] = load(raw + i * distance + begin) * lattice.per_feature[i] + lattice.shift[i];
        }
        const auto simplex = simplex_of<Pack>(features, lattice.space);
        for (int lane = 0; lane < EDGESEG_LANES && begin + lane < count; ++lane) {
            int origin[kCorners], rank[kCorners];
            for (int k = 0; k < kCorners; ++k) {
                origin[k] = simplex.origin[k][lane];
                rank[k] = simplex.rank[k][lane];
                corners[begin + lane].weight[k] = simplex.weight[k][lane];
            }
            corner_keys(lattice.space, origin, rank, keys + static_cast<std::ptrdiff_t>(begin + lane) * kCorners);
        }
    }
}

void gather(float* arrays, std::ptrdiff_t distance, int count, int stride, int begin, int end, float* sum) {
    for (std::ptrdiff_t i = static_cast<std::ptrdiff_t>(begin) * stride; i < static_cast<std::ptrdiff_t>(end) * stride;
         i += EDGESEG_LANES) {
        Floats total = load(arrays + i);
        store(Floats{}, arrays + i);
        for (int k = 1; k < count; ++k) {
            total += load(arrays + k * distance + i);
            store(Floats{}, arrays + k * distance + i);
        }
        store(total, sum + i);
    }
}

void blur(const Neighbours* neighbours, int begin, int end, int stride, const float* from, float* to) {
    for (std::ptrdiff_t v = begin; v < end; ++v) {
        const float* middle = from + v * stride;
        const float* before = from + static_cast<std::ptrdiff_t>(neighbours[v].before) * stride;
        const float* after = from + static_cast<std::ptrdiff_t>(neighbours[v].after) * stride;
        for (int i = 0; i < stride; i += EDGESEG_LANES) {
            store(load(middle + i) * 0.5f + (load(before + i) + load(after + i)) * 0.25f, to + v * stride + i);
        }
    }
}

// ---------------------------------------------------------------- spatial terms

/// kLines lines side by side, `beside` floats apart, along which everything but the values is the same.
template <int kLines>
void filter_lines(const Filter& f, std::ptrdiff_t start, std::ptrdiff_t beside, std::ptrdiff_t along, int length) {
    for (int position = 0; position < length; ++position) {
        const int first = position - f.radius > 0 ? position - f.radius : 0;
        const int last = position + f.radius < length ? position + f.radius : length - 1;
        const float scale = f.norm[position] * f.weight;
        for (int i = 0; i < f.stride; i += EDGESEG_LANES) {
            Floats sum[kLines] = {};
            for (int k = first; k <= last; ++k) {
                const float tap = f.taps[k < position ? position - k : k - position] * f.norm[k];
                const float* from = f.from + start + k * along + i;
                for (int line = 0; line < kLines; ++line) sum[line] += load(from + line * beside) * tap;
            }
            float* to = f.to + start + position * along + i;
            for (int line = 0; line < kLines; ++line) {
                const Floats before = f.add ? load(to + line * beside) : Floats{};
                store(before + sum[line] * scale, to + line * beside);
            }
        }
    }
}

void filter(const Filter& f, int begin, int end) {
    constexpr int kLines = 4;
    const std::ptrdiff_t across = f.stride, down = static_cast<std::ptrdiff_t>(f.grid.width) * f.stride;
    const std::ptrdiff_t along = f.along_x ? across : down, beside = f.along_x ? down : across;
    const int length = f.along_x ? f.grid.width : f.grid.height;
    int line = begin;
    for (; line + kLines <= end; line += kLines) filter_lines<kLines>(f, line * beside, beside, along, length);
    for (; line < end; ++line) filter_lines<1>(f, line * beside, beside, along, length);
}

void mix(const float* compatibility, int classes, int stride, std::ptrdiff_t begin, std::ptrdiff_t end,
         float* messages) {
    for (std::ptrdiff_t point = begin; point < end; ++point) {
        alignas(64) float message[kMaxClasses + 1];
        float* row = messages + point * stride;
        std::memcpy(message, row, static_cast<std::size_t>(stride) * sizeof(float));
        for (int i = 0; i < stride; i += EDGESEG_LANES) {
            Floats sum = Floats{};
            for (int c = 0; c < classes; ++c) sum += load(compatibility + c * stride + i) * message[c];
            store(sum, row + i);
        }
    }
}

// ---------------------------------------------------------------- the sweep

/// A row of tiles on its way through one step.
template <Step kStep, int kRegisters>
class TileRow {
    using Values = Row<kRegisters>;
    static constexpr int kStride = kRegisters * EDGESEG_LANES;
    static constexpr bool kTakesMessages = kStep == Step::kMiddle || kStep == Step::kLast || kStep == Step::kSlice;
    static constexpr bool kWrites = kStep == Step::kLast || kStep == Step::kSlice;

  public:
    TileRow(const Sweep& sweep, int tile_row, int thread) : s_(sweep), tile_row_(tile_row), thread_(thread) {
        first_ = tile_row * sweep.tiling.pixels_a_row();
    }

    void run() {
        std::ptrdiff_t point = first_;
        for (int column = 0; column < s_.tiling.columns; ++column) {
            alignas(64) float marginals[kTilePixels * kStride];
            const float* unaries = s_.unaries + (first_ + static_cast<std::ptrdiff_t>(column) * kTilePixels) * kStride;
            Values spatial[kCellPixels];
            Values cell = Values::zero();
            for (int pixel = 0; pixel < kTilePixels; ++point) {
                const Run run = s_.runs[point];
                const Values message = run && kTakesMessages ? bilateral_message(point) : Values::zero();
                Values total = Values::zero();
                for (const int end = pixel + (run ? run : 1); pixel < end; ++pixel) {
                    const int within = pixel % kCellPixels;
                    if (within == 0) {
                        begin_cell(column, pixel, spatial);
                        cell = Values::zero();
                    }
                    if (kStep == Step::kSplat || kStep == Step::kSlice) {
                        if (kStep == Step::kSlice) message.store_to(marginals + pixel * kStride);
                        if (kStep == Step::kSplat && run) total.add(Values::at(unaries + pixel * kStride));
                    } else if (run) {
                        Values logits = Values::at(unaries + pixel * kStride);
                        logits.add(message);
                        if (kTakesMessages && s_.messages) logits.add(spatial[within]);
                        if (kWrites) {
                            write(logits, column, pixel, marginals);
                        } else {
                            const Values q = softmax(logits);
                            total.add(q);
                            if (s_.sums) add_to_cell(q, column, pixel, cell);
                        }
                    }
                    if (!kWrites && s_.sums && within == kCellPixels - 1) end_cell(column, pixel, cell);
                }
                if (!kWrites && run) splat(total, point);
            }
            if (kWrites && s_.params.marginals.data) {
                write_marginals(marginals, s_.params, s_.image, s_.tiling, tile_row_ * kTile, column * kTile, kStride);
            }
        }
    }

  private:
    EDGESEG_INLINE Values bilateral_message(std::ptrdiff_t point) const {
        Values message = Values::zero();
        for (int l = 0; l < s_.lattice_count; ++l) {
            const Lattice& lattice = s_.lattices[l];
            const Corners& at = lattice.corners[point];
            const float scale = s_.params.bilateral[lattice.term].weight * s_.scale[lattice.term][point];
            // Three sums that do not wait for each other.
            Values part[3] = {};
            for (int k = 0; k < kCorners; ++k) {
                part[k % 3].add(at.weight[k], lattice.values + static_cast<std::ptrdiff_t>(at.vertex[k]) * kStride);
            }
            part[0].add(part[1]);
            part[0].add(part[2]);
            message.add(scale, part[0]);
        }
        if (s_.compatibility) {
            alignas(64) float row[kStride];
            message.store_to(row);
            mix(s_.compatibility, s_.params.probabilities.size[1], kStride, 0, 1, row);
            message = Values::at(row);
        }
        return message;
    }

    EDGESEG_INLINE void splat(const Values& total, std::ptrdiff_t point) const {
        for (int l = 0; l < s_.lattice_count; ++l) {
            const Lattice& lattice = s_.lattices[l];
            const Corners& at = lattice.corners[point];
            float* splatted = lattice.splatted + static_cast<std::ptrdiff_t>(thread_) * lattice.vertices * kStride;
            const Values value = total.times(s_.scale[lattice.term][point]);
            for (int k = 0; k < kCorners; ++k) {
                float* vertex = splatted + static_cast<std::ptrdiff_t>(at.vertex[k]) * kStride;
                Values sum = Values::at(vertex);
                sum.add(at.weight[k], value);
                sum.store_to(vertex);
            }
        }
    }

    const float* grid_at(const float* grid, int y, int x) const {
        return grid + (static_cast<std::ptrdiff_t>(y) * s_.grid.width + x) * kStride;
    }

    /// The spatial messages to the four pixels of a cell: read, or interpolated linearly from the cells around.
    EDGESEG_INLINE void begin_cell(int column, int pixel, Values* spatial) const {
        if (!kTakesMessages || !s_.messages) return;
        const int y = tile_row_ * kTile + row_in_tile(pixel);
        const int x = column * kTile + column_in_tile(pixel);
        if (s_.grid.step == 1) {
            for (int i = 0; i < kCellPixels; ++i) {
                if (y + i / 2 < s_.grid.height && x + i % 2 < s_.grid.width) {
                    spatial[i] = Values::at(grid_at(s_.messages, y + i / 2, x + i % 2));
                }
            }
            return;
        }
        // The grid goes on beyond the image, to the end of the tile: nothing is known there.
        const int bottom = (s_.tiling.height - 1) / kCell, end = (s_.tiling.width - 1) / kCell;
        const int row = y / kCell, col = x / kCell;
        const int above = row > 0 ? row - 1 : row, below = row < bottom ? row + 1 : bottom;
        const int left = col > 0 ? col - 1 : col, right = col < end ? col + 1 : end;
        const float* rows[3] = {grid_at(s_.messages, above, 0), grid_at(s_.messages, row, 0),
                                grid_at(s_.messages, below, 0)};
        for (int i = 0; i < kRegisters; ++i) {
            Floats at_left[3], at_right[3];
            for (int k = 0; k < 3; ++k) {
                const float* from = rows[k] + i * EDGESEG_LANES;
                const Floats middle = load(from + col * kStride) * 0.75f;
                at_left[k] = load(from + left * kStride) * 0.25f + middle;
                at_right[k] = load(from + right * kStride) * 0.25f + middle;
            }
            spatial[0].part[i] = at_left[0] * 0.25f + at_left[1] * 0.75f;
            spatial[1].part[i] = at_right[0] * 0.25f + at_right[1] * 0.75f;
            spatial[2].part[i] = at_left[2] * 0.25f + at_left[1] * 0.75f;
            spatial[3].part[i] = at_right[2] * 0.25f + at_right[1] * 0.75f;
        }
    }

    EDGESEG_INLINE void add_to_cell(const Values& q, int column, int pixel, Values& cell) const {
        if (s_.grid.step == 1) {
            const int y = tile_row_ * kTile + row_in_tile(pixel);
            const int x = column * kTile + column_in_tile(pixel);
            q.store_to(const_cast<float*>(grid_at(s_.sums, y, x)));
        } else {
            cell.add(q);
        }
    }

    EDGESEG_INLINE void end_cell(int column, int pixel, const Values& cell) const {
        if (s_.grid.step == 1) return;
        const int y = tile_row_ * (kTile / kCell) + row_in_tile(pixel) / kCell;
        const int x = column * (kTile / kCell) + column_in_tile(pixel) / kCell;
        cell.store_to(const_cast<float*>(grid_at(s_.sums, y, x)));
    }

    EDGESEG_INLINE Values softmax(Values logits) const {
        const float high = s_.highest < 60.0f ? s_.highest : logits.highest();
        for (int i = 0; i < kRegisters; ++i) logits.part[i] = exp(logits.part[i] - high);
        return logits.times(1.0f / logits.sum());
    }

    EDGESEG_INLINE void write(const Values& logits, int column, int pixel, float* marginals) const {
        if (s_.params.marginals.data) softmax(logits).store_to(marginals + pixel * kStride);
        if (s_.params.labels.data) {
            const int y = tile_row_ * kTile + row_in_tile(pixel);
            const int x = column * kTile + column_in_tile(pixel);
            *s_.params.labels.at(s_.image, y, x) = static_cast<std::uint8_t>(logits.first_highest());
        }
    }

    const Sweep& s_;
    int tile_row_;
    int thread_;
    std::ptrdiff_t first_;  // pixel, and point, of this row
};

template <Step kStep, int kRegisters>
void run_tile_row(const Sweep& s, int tile_row, int thread) {
    if constexpr (kRegisters * EDGESEG_LANES <= kMaxClasses + 1) TileRow<kStep, kRegisters>(s, tile_row, thread).run();
}

template <Step kStep>
void sweep_step(const Sweep& s, int tile_row, int thread) {
    [&]<int... kRegisters>(std::integer_sequence<int, kRegisters...>) {
        ((s.stride == kRegisters * EDGESEG_LANES ? run_tile_row<kStep, kRegisters>(s, tile_row, thread) : void()), ...);
    }(std::integer_sequence<int, 1, 2, 3, 4, 6, 8, 16, 32, 64>());
}

void sweep(const Sweep& s, Step step, int tile_row, int thread) {
    switch (step) {
        case Step::kFirst:
            return sweep_step<Step::kFirst>(s, tile_row, thread);
        case Step::kMiddle:
            return sweep_step<Step::kMiddle>(s, tile_row, thread);
        case Step::kLast:
            return sweep_step<Step::kLast>(s, tile_row, thread);
        case Step::kSplat:
            return sweep_step<Step::kSplat>(s, tile_row, thread);
        case Step::kSlice:
            return sweep_step<Step::kSlice>(s, tile_row, thread);
    }
}

}  // namespace
}  // namespace edgeseg::dense_crf::EDGESEG_ISA
