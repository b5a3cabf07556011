#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "dense_crf/hash_cpu.h"
#include "dense_crf/isa.h"
#include "dense_crf/lattices.h"
#include "dense_crf/layout.h"
#include "dense_crf/op.h"
#include "dense_crf/points_cpu.h"
#include "dense_crf/spatial_cpu.h"
#include "parallel/for_each.h"

namespace edgeseg::dense_crf {
namespace {

constexpr int kMostThreads = 16;  // each has its own copy of the lattices' values to splat into
constexpr int kGrain = 1024;      // vertices, or points of a grid, that a thread takes at a time

/// A power of two that keeps the table at most half full.
std::uint32_t slots_for(int vertices) {
    std::uint32_t slots = 64;
    while (slots < 2u * static_cast<std::uint32_t>(vertices)) slots *= 2;
    return slots;
}

struct Term {
    SpatialAxis x, y;
};

/// Everything that a run keeps in its scratch memory.
struct Workspace {
    Lattice lattices[kMaxTerms * kMostLattices] = {};
    std::int64_t* keys[kMaxTerms * kMostLattices] = {};  // of the hash tables
    std::uint32_t* vertices[kMaxTerms * kMostLattices] = {};
    float* scale[kMaxTerms] = {};
    Term spatial[kMaxTerms] = {};
    int lattice_count = 0;
    float* unaries = nullptr;
    Run* runs = nullptr;
    int* points = nullptr;                // of each row of tiles
    float* raw = nullptr;                 // (threads, 5, a row's pixels)
    std::int64_t* corner_keys = nullptr;  // (threads, a row's pixels, 6)
    float* ones = nullptr;                // (threads + 2, vertices + 1): the lattice's values for N
    float* compatibility = nullptr;
    float* sums = nullptr;
    float* filtered = nullptr;
    float* messages = nullptr;
    std::size_t bytes = 0;

    Workspace(const Params& params, const Tiling& tiling, const Grid& grid, int stride, int most_vertices, int threads,
              void* memory) {
        const auto take = [&]<class T>(T*& part, std::ptrdiff_t count) {
            if (memory) part = reinterpret_cast<T*>(static_cast<std::byte*>(memory) + bytes);
            bytes += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
        };
        const std::ptrdiff_t row_points = tiling.pixels_a_row() + kTilePixels;
        const std::ptrdiff_t values = (static_cast<std::ptrdiff_t>(most_vertices) + 1) * stride;
        take(unaries, tiling.pixels() * stride);
        for (int t = 0; t < params.bilateral_count; ++t) {
            take(scale[t], tiling.pixels());
            for (int l = 0; l < lattices_a_term(params.quality); ++l) {
                const int n = lattice_count++;
                lattices[n].term = t;
                take(lattices[n].corners, tiling.pixels());
                take(lattices[n].neighbours, static_cast<std::ptrdiff_t>(most_vertices) * kCorners);
                take(lattices[n].values, values);
                take(lattices[n].scratch, values);
                take(lattices[n].splatted, values * threads);
                take(keys[n], slots_for(most_vertices));
                take(vertices[n], slots_for(most_vertices));
            }
        }
        take(runs, tiling.pixels());
        take(points, tiling.rows);
        take(raw, threads * kFeatures * row_points);
        take(corner_keys, threads * kCorners * row_points);
        take(ones, (threads + 2) * (static_cast<std::ptrdiff_t>(most_vertices) + 1));
        if (params.compatibility)
            take(compatibility, static_cast<std::ptrdiff_t>(stride) * params.probabilities.size[1]);
        if (!params.spatial_count) return;
        for (int t = 0; t < params.spatial_count; ++t) {
            take(spatial[t].x.taps, SpatialAxis::most_taps(grid.width));
            take(spatial[t].x.norm, grid.width);
            take(spatial[t].y.taps, SpatialAxis::most_taps(grid.height));
            take(spatial[t].y.norm, grid.height);
        }
        const std::ptrdiff_t grid_values = static_cast<std::ptrdiff_t>(grid.height) * grid.width * stride;
        take(sums, grid_values);
        take(filtered, grid_values);
        take(messages, grid_values);
    }
};

/// A run over the images of a batch, one after the other.
class MeanField {
  public:
    MeanField(const Params& params, int most_vertices, int threads, void* memory)
        : p_(params),
          isa_(isa()),
          threads_(std::clamp(threads, 1, kMostThreads)),
          stride_(stride_of(isa_, params.probabilities.size[1])),
          most_vertices_(most_vertices),
          tiling_(params.image.size[1], params.image.size[2]),
          grid_(grid_for(params, tiling_)),
          w_(params, tiling_, grid_, stride_, most_vertices, threads_, memory) {}

    std::size_t bytes() const { return w_.bytes; }

    bool run() {
        prepare();
        for (int image = 0; image < p_.image.size[0]; ++image) {
            if (!build(image)) return false;
            infer(image);
        }
        return true;
    }

  private:
    /// What depends on the parameters alone.
    void prepare() {
        int n = 0;
        for (int t = 0; t < p_.bilateral_count; ++t) {
            float most[kFeatures], per_feature[kFeatures];
            scale_features(p_, p_.bilateral[t], per_feature, most);
            for (int l = 0; l < lattices_a_term(p_.quality); ++l, ++n) {
                w_.lattices[n].space = key_space(most);
                for (int i = 0; i < kFeatures; ++i) {
                    w_.lattices[n].per_feature[i] = per_feature[i];
                    w_.lattices[n].shift[i] = shift_of(l, i);
                }
            }
        }
        for (int t = 0; t < p_.spatial_count; ++t) {
            w_.spatial[t].x.fill(p_.spatial[t].sigma_x, tiling_.width, grid_.width, grid_.step);
            w_.spatial[t].y.fill(p_.spatial[t].sigma_y, tiling_.height, grid_.height, grid_.step);
        }
        const int classes = p_.probabilities.size[1];
        if (p_.compatibility) {
            for (int from = 0; from < classes; ++from) {
                for (int to = 0; to < stride_; ++to) {
                    w_.compatibility[from * stride_ + to] =
                        to < classes ? -p_.compatibility[to * classes + from] : 0.0f;
                }
            }
        }
    }

    /// body(thread, row) for all rows of tiles, each thread's in order: who splats what does not depend on the clock.
    template <class Body>
    void each_row(const Body& body) const {
        parallel::for_each(threads_, threads_, [&](std::ptrdiff_t thread) {
            const auto end = static_cast<int>((thread + 1) * tiling_.rows / threads_);
            for (auto row = static_cast<int>(thread * tiling_.rows / threads_); row < end; ++row) {
                body(static_cast<int>(thread), row);
            }
        });
    }

    /// body(begin, end) for parts of 0 to count, in any order.
    template <class Body>
    void in_parts(std::ptrdiff_t count, int grain, const Body& body) const {
        parallel::for_each((count + grain - 1) / grain, threads_, [&](std::ptrdiff_t part) {
            body(static_cast<int>(part * grain), static_cast<int>(std::min(count, (part + 1) * grain)));
        });
    }

    /// Unaries, points and lattices of an image.
    bool build(int image) {
        const parallel::View<const std::uint8_t, 3> picture{p_.image.at(image),
                                                            {p_.image.size[1], p_.image.size[2], p_.image.size[3]}};
        const Merging merging = Merging::within(p_.bilateral, p_.bilateral_count, merged_share(p_.quality));

        alignas(HashTable) std::byte tables_memory[sizeof(HashTable) * kMaxTerms * kMostLattices];
        auto* tables = reinterpret_cast<HashTable*>(tables_memory);
        const std::uint32_t slots = slots_for(most_vertices_);
        for (int l = 0; l < w_.lattice_count; ++l) {
            new (&tables[l]) HashTable(w_.keys[l], w_.vertices[l], slots, static_cast<std::uint32_t>(most_vertices_));
            in_parts(slots, 1 << 16, [&](int begin, int end) { tables[l].clear(begin, end); });
        }

        const std::ptrdiff_t distance = tiling_.pixels_a_row() + kTilePixels;
        each_row([&](int thread, int row) {
            const std::ptrdiff_t first = row * tiling_.pixels_a_row();
            isa_.write_unaries(p_, image, tiling_, row, stride_, w_.unaries + first * stride_);
            float* raw = w_.raw + thread * kFeatures * distance;
            const int count = write_points(picture, tiling_, row, merging, w_.runs + first, raw, distance);
            w_.points[row] = count;
            std::int64_t* keys = w_.corner_keys + thread * kCorners * distance;
            for (int l = 0; l < w_.lattice_count; ++l) {
                Corners* corners = w_.lattices[l].corners + first;
                isa_.find_corners(w_.lattices[l], raw, distance, count, keys, corners);
                for (int i = 0; i < count; ++i) {
                    if (!w_.runs[first + i]) continue;
                    for (int k = 0; k < kCorners; ++k) corners[i].vertex[k] = tables[l].insert(keys[i * kCorners + k]);
                }
            }
        });
        for (int l = 0; l < w_.lattice_count; ++l) {
            if (tables[l].overflowed()) return false;
            w_.lattices[l].vertices = tables[l].vertices();
        }
        for (int l = 0; l < w_.lattice_count; ++l) {
            connect(w_.lattices[l], tables[l]);
            normalise(l, tables[l]);
        }
        return true;
    }

    /// Finds every vertex's neighbours, and clears its values.
    void connect(const Lattice& lattice, const HashTable& table) const {
        const auto absent = static_cast<std::uint32_t>(lattice.vertices);
        in_parts(static_cast<std::ptrdiff_t>(kCorners) * lattice.vertices, kCorners * kGrain, [&](int begin, int end) {
            std::fill(lattice.neighbours + begin, lattice.neighbours + end, Neighbours{absent, absent});
        });
        in_parts(table.slots(), 8 * kGrain, [&](int begin, int end) {
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
        in_parts(threads_, 1, [&](int thread, int) { std::fill_n(lattice.splatted + thread * values, values, 0.0f); });
    }

    /// Turns slots into vertices, and finds N^-1/2 by filtering ones.
    void normalise(int l, const HashTable& table) const {
        const Lattice& lattice = w_.lattices[l];
        const std::ptrdiff_t distance = lattice.vertices + 1;
        std::fill_n(w_.ones, (threads_ + 2) * distance, 0.0f);
        each_row([&](int thread, int row) {
            float* ones = w_.ones + (thread + 2) * distance;
            each_point(row, [&](std::ptrdiff_t point) {
                Corners& at = lattice.corners[point];
                for (int k = 0; k < kCorners; ++k) {
                    at.vertex[k] = table.vertex(at.vertex[k]);
                    ones[at.vertex[k]] += at.weight[k] * static_cast<float>(w_.runs[point]);
                }
            });
        });
        float* from = w_.ones;
        float* to = w_.ones + distance;
        for (int thread = 0; thread < threads_; ++thread) {
            for (int v = 0; v < lattice.vertices; ++v) from[v] += w_.ones[(thread + 2) * distance + v];
        }
        for (int axis = 0; axis < kCorners; ++axis) {
            const Neighbours* along = lattice.neighbours + static_cast<std::ptrdiff_t>(axis) * lattice.vertices;
            for (int v = 0; v < lattice.vertices; ++v) {
                to[v] = 0.5f * from[v] + 0.25f * (from[along[v].before] + from[along[v].after]);
            }
            std::swap(from, to);
        }
        float* scale = w_.scale[lattice.term];
        const bool first = l == 0 || w_.lattices[l - 1].term != lattice.term;
        const bool last = l + 1 == w_.lattice_count || w_.lattices[l + 1].term != lattice.term;
        each_row([&](int, int row) {
            each_point(row, [&](std::ptrdiff_t point) {
                const Corners& at = lattice.corners[point];
                float sum = first ? 0.0f : scale[point];
                for (int k = 0; k < kCorners; ++k) sum += at.weight[k] * from[at.vertex[k]];
                scale[point] = last ? 1.0f / std::sqrt(sum) : sum;
            });
        });
    }

    template <class Body>
    void each_point(int row, const Body& body) const {
        const std::ptrdiff_t first = row * tiling_.pixels_a_row();
        for (std::ptrdiff_t point = first; point < first + w_.points[row]; ++point) {
            if (w_.runs[point]) body(point);
        }
    }

    void infer(int image) const {
        Sweep sweep{p_,          image,
                    tiling_,     stride_,
                    w_.unaries,  w_.runs,
                    w_.lattices, w_.lattice_count,
                    w_.scale,    w_.compatibility,
                    w_.messages, w_.sums,
                    grid_,       highest_message()};
        if (p_.iterations == 0) {
            sweep.lattice_count = 0;
            sweep.messages = nullptr;
            each_row([&](int thread, int row) { isa_.sweep(sweep, Step::kLast, row, thread); });
            return;
        }
        each_row([&](int thread, int row) { isa_.sweep(sweep, Step::kFirst, row, thread); });
        for (int iteration = 1; iteration <= p_.iterations; ++iteration) {
            for (int l = 0; l < w_.lattice_count; ++l) blur(w_.lattices[l]);
            filter();
            const Step step = iteration == p_.iterations ? Step::kLast : Step::kMiddle;
            each_row([&](int thread, int row) { isa_.sweep(sweep, step, row, thread); });
        }
    }

    void blur(const Lattice& lattice) const {
        in_parts(lattice.vertices, kGrain, [&](int begin, int end) {
            isa_.gather(lattice.splatted, static_cast<std::ptrdiff_t>(lattice.vertices) * stride_, threads_, stride_,
                        begin, end, lattice.values);
        });
        static_assert(kCorners % 2 == 0, "the blurred values end where they began");
        for (int axis = 0; axis < kCorners; ++axis) {
            const Neighbours* along = lattice.neighbours + static_cast<std::ptrdiff_t>(axis) * lattice.vertices;
            const float* from = axis % 2 ? lattice.scratch : lattice.values;
            float* to = axis % 2 ? lattice.values : lattice.scratch;
            in_parts(lattice.vertices, kGrain,
                     [&](int begin, int end) { isa_.blur(along, begin, end, stride_, from, to); });
        }
    }

    void filter() const {
        constexpr int kLines = 8;
        for (int t = 0; t < p_.spatial_count; ++t) {
            const auto& [x, y] = w_.spatial[t];
            const Filter along_x{grid_, stride_, true, x.taps, x.radius, x.norm, 1, false, w_.sums, w_.filtered};
            const Filter along_y{grid_,  stride_,     false,      y.taps, y.radius, y.norm, p_.spatial[t].weight,
                                 t != 0, w_.filtered, w_.messages};
            in_parts(grid_.height, kLines, [&](int begin, int end) { isa_.filter(along_x, begin, end); });
            in_parts(grid_.width, kLines, [&](int begin, int end) { isa_.filter(along_y, begin, end); });
        }
        if (p_.spatial_count && p_.compatibility) {
            in_parts(static_cast<std::ptrdiff_t>(grid_.height) * grid_.width, kGrain, [&](int begin, int end) {
                isa_.mix(w_.compatibility, p_.probabilities.size[1], stride_, begin, end, w_.messages);
            });
        }
    }

    /// Potts messages are weighted means of probabilities, nearly: no more than the sum of the weights.
    float highest_message() const {
        float sum = 0;
        bool known = !p_.compatibility;
        for (int t = 0; t < p_.bilateral_count; ++t) {
            known = known && p_.bilateral[t].weight >= 0;
            sum += p_.bilateral[t].weight;
        }
        for (int t = 0; t < p_.spatial_count; ++t) {
            known = known && p_.spatial[t].weight >= 0;
            sum += p_.spatial[t].weight;
        }
        return known ? sum : std::numeric_limits<float>::infinity();
    }

    const Params& p_;
    const Isa& isa_;
    int threads_;
    int stride_;
    int most_vertices_;
    Tiling tiling_;
    Grid grid_;
    Workspace w_;
};

}  // namespace

bool fits(const Params& params) {
    for (int t = 0; t < params.bilateral_count; ++t) {
        float most[kFeatures], per_feature[kFeatures];
        scale_features(params, params.bilateral[t], per_feature, most);
        if (key_space(most).bits > 62) return false;
    }
    return true;
}

std::size_t workspace_bytes(const Params& params, int vertices, int threads) {
    return MeanField(params, vertices, threads, nullptr).bytes();
}

int usual_vertices(const Params& params) {
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(params.image.size[1]) * params.image.size[2];
    return static_cast<int>(std::max<std::ptrdiff_t>(1024, pixels / 8));
}

bool run_cpu(const Params& params, void* workspace, int vertices, int threads) {
    return MeanField(params, vertices, threads, workspace).run();
}

}  // namespace edgeseg::dense_crf
