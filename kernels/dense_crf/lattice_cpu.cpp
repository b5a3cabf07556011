#include "dense_crf/lattice_cpu.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "dense_crf/hash_cpu.h"
#include "dense_crf/points_cpu.h"

namespace edgeseg::dense_crf {
namespace {

constexpr int kPart = 1024;  // vertices that a thread takes at a time

/// A power of two that keeps the table at most half full.
std::uint32_t slots_for(int vertices) {
    std::uint32_t slots = 64;
    while (slots < 2u * static_cast<std::uint32_t>(vertices)) slots *= 2;
    return slots;
}

}  // namespace

Lattices::Lattices(const BilateralTerm* terms, int count, Quality quality, const Tiling& tiling, int stride,
                   int most_vertices, int threads, Carver& carver)
    : terms_(terms),
      term_count_(count),
      quality_(quality),
      tiling_(tiling),
      stride_(stride),
      most_vertices_(most_vertices),
      threads_(threads) {
    const std::ptrdiff_t row_points = tiling.pixels_a_row() + kTilePixels;
    const std::ptrdiff_t values = (static_cast<std::ptrdiff_t>(most_vertices) + 1) * stride;
    for (int t = 0; t < count; ++t) {
        carver.take(scale_[t], tiling.pixels());
        float per_feature[kFeatures], most[kFeatures];
        scale_features(terms[t], quality, tiling.height, tiling.width, per_feature, most);
        for (int l = 0; l < lattices_a_term(quality); ++l) {
            Lattice& lattice = lattices_[count_];
            lattice.term = t;
            lattice.space = key_space(most);
            for (int i = 0; i < kFeatures; ++i) {
                lattice.per_feature[i] = per_feature[i];
                lattice.shift[i] = shift_of(l, i);
            }
            carver.take(lattice.corners, tiling.pixels());
            carver.take(lattice.neighbours, static_cast<std::ptrdiff_t>(most_vertices) * kCorners);
            carver.take(lattice.values, values);
            carver.take(lattice.scratch, values);
            carver.take(lattice.splatted, values * threads);
            carver.take(keys_[count_], slots_for(most_vertices));
            carver.take(vertices_[count_], slots_for(most_vertices));
            ++count_;
        }
    }
    carver.take(runs_, tiling.pixels());
    carver.take(points_, tiling.rows);
    carver.take(raw_, threads * kFeatures * row_points);
    carver.take(corner_keys_, threads * kCorners * row_points);
    carver.take(ones_, (threads + 2) * (static_cast<std::ptrdiff_t>(most_vertices) + 1));
}

bool Lattices::build(const parallel::View<const std::uint8_t, 3>& picture) {
    const Merging merging = Merging::within(terms_, term_count_, merged_share(quality_));
    const std::uint32_t slots = slots_for(most_vertices_);
    alignas(HashTable) std::byte memory[sizeof(HashTable) * kMost];
    auto* tables = reinterpret_cast<HashTable*>(memory);
    for (int l = 0; l < count_; ++l) {
        new (&tables[l]) HashTable(keys_[l], vertices_[l], slots, static_cast<std::uint32_t>(most_vertices_));
        in_parts(slots, 1 << 16, threads_, [&](int begin, int end) { tables[l].clear(begin, end); });
    }

    const std::ptrdiff_t distance = tiling_.pixels_a_row() + kTilePixels;
    each_row(tiling_, threads_, [&](int thread, int row) {
        const std::ptrdiff_t first = row * tiling_.pixels_a_row();
        float* raw = raw_ + thread * kFeatures * distance;
        const int points = write_points(picture, tiling_, row, merging, runs_ + first, raw, distance);
        points_[row] = points;
        // A register is filled past the last point: what is read there must be numbers that an int can hold.
        for (int i = 0; i < kFeatures; ++i) std::fill_n(raw + i * distance + points, -points & (kTilePixels - 1), 0.0f);
        std::int64_t* keys = corner_keys_ + thread * kCorners * distance;
        for (int l = 0; l < count_; ++l) {
            Corners* corners = lattices_[l].corners + first;
            isa_.find_corners(lattices_[l], raw, distance, points, keys, corners);
            for (int i = 0; i < points; ++i) {
                if (!runs_[first + i]) continue;
                for (int k = 0; k < kCorners; ++k) corners[i].vertex[k] = tables[l].insert(keys[i * kCorners + k]);
            }
        }
    });
    for (int l = 0; l < count_; ++l) {
        if (tables[l].overflowed()) return false;
        lattices_[l].vertices = tables[l].vertices();
    }
    for (int l = 0; l < count_; ++l) {
        connect(lattices_[l], tables[l]);
        normalise(l, tables[l]);
    }
    return true;
}

/// Finds every vertex's neighbours, and clears its values.
void Lattices::connect(const Lattice& lattice, const HashTable& table) const {
    const auto absent = static_cast<std::uint32_t>(lattice.vertices);
    const std::ptrdiff_t neighbours = static_cast<std::ptrdiff_t>(kCorners) * lattice.vertices;
    in_parts(neighbours, kCorners * kPart, threads_, [&](int begin, int end) {
        std::fill(lattice.neighbours + begin, lattice.neighbours + end, Neighbours{absent, absent});
    });
    in_parts(table.slots(), 8 * kPart, threads_, [&](int begin, int end) {
        for (auto slot = static_cast<std::uint32_t>(begin); slot < static_cast<std::uint32_t>(end); ++slot) {
            if (table.key(slot) == HashTable::kEmpty) continue;
            const std::uint32_t vertex = table.vertex(slot);
            for (int axis = 0; axis < kCorners; ++axis) {
                const std::uint32_t after = table.find(table.key(slot) + lattice.space.step(axis), absent);
                if (after == absent) continue;
                Neighbours* along = lattice.neighbours + static_cast<std::ptrdiff_t>(axis) * lattice.vertices;
                along[vertex].after = after;
                along[after].before = vertex;
            }
        }
    });
    const std::ptrdiff_t values = static_cast<std::ptrdiff_t>(lattice.vertices) * stride_;
    std::fill_n(lattice.values + values, stride_, 0.0f);
    std::fill_n(lattice.scratch + values, stride_, 0.0f);
    in_parts(threads_, 1, threads_,
             [&](int thread, int) { std::fill_n(lattice.splatted + thread * values, values, 0.0f); });
}

/// Turns slots into vertices, and finds N^-1/2 by filtering ones.
void Lattices::normalise(int l, const HashTable& table) const {
    const Lattice& lattice = lattices_[l];
    const std::ptrdiff_t distance = lattice.vertices + 1;
    std::fill_n(ones_, (threads_ + 2) * distance, 0.0f);
    each_row(tiling_, threads_, [&](int thread, int row) {
        float* ones = ones_ + (thread + 2) * distance;
        each_point(row, [&](std::ptrdiff_t point) {
            Corners& at = lattice.corners[point];
            for (int k = 0; k < kCorners; ++k) {
                at.vertex[k] = table.vertex(at.vertex[k]);
                ones[at.vertex[k]] += at.weight[k] * static_cast<float>(runs_[point]);
            }
        });
    });
    float* from = ones_;
    float* to = ones_ + distance;
    for (int thread = 0; thread < threads_; ++thread) {
        for (int v = 0; v < lattice.vertices; ++v) from[v] += ones_[(thread + 2) * distance + v];
    }
    for (int axis = 0; axis < kCorners; ++axis) {
        const Neighbours* along = lattice.neighbours + static_cast<std::ptrdiff_t>(axis) * lattice.vertices;
        for (int v = 0; v < lattice.vertices; ++v) {
            to[v] = 0.5f * from[v] + 0.25f * (from[along[v].before] + from[along[v].after]);
        }
        std::swap(from, to);
    }
    float* scale = scale_[lattice.term];
    const bool first = l == 0 || lattices_[l - 1].term != lattice.term;
    const bool last = l + 1 == count_ || lattices_[l + 1].term != lattice.term;
    each_row(tiling_, threads_, [&](int, int row) {
        each_point(row, [&](std::ptrdiff_t point) {
            const Corners& at = lattice.corners[point];
            float sum = first ? 0.0f : scale[point];
            for (int k = 0; k < kCorners; ++k) sum += at.weight[k] * from[at.vertex[k]];
            scale[point] = last ? 1.0f / std::sqrt(sum) : sum;
        });
    });
}

/// body(point) for the points within the image.
template <class Body>
void Lattices::each_point(int row, const Body& body) const {
    const std::ptrdiff_t first = row * tiling_.pixels_a_row();
    for (std::ptrdiff_t point = first; point < first + points_[row]; ++point) {
        if (runs_[point]) body(point);
    }
}

void Lattices::blur(bool reversed) const {
    for (int l = 0; l < count_; ++l) {
        const Lattice& lattice = lattices_[l];
        in_parts(lattice.vertices, kPart, threads_, [&](int begin, int end) {
            isa_.gather(lattice.splatted, static_cast<std::ptrdiff_t>(lattice.vertices) * stride_, threads_, stride_,
                        begin, end, lattice.values);
        });
        static_assert(kCorners % 2 == 0, "the blurred values end where they began");
        for (int i = 0; i < kCorners; ++i) {
            const int axis = reversed ? kCorners - 1 - i : i;
            const Neighbours* along = lattice.neighbours + static_cast<std::ptrdiff_t>(axis) * lattice.vertices;
            const float* from = i % 2 ? lattice.scratch : lattice.values;
            float* to = i % 2 ? lattice.values : lattice.scratch;
            in_parts(lattice.vertices, kPart, threads_,
                     [&](int begin, int end) { isa_.blur(along, begin, end, stride_, from, to); });
        }
    }
}

}  // namespace edgeseg::dense_crf
