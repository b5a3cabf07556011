#include <cmath>

#include "dense_crf/lattice.cuh"
#include "dense_crf/launch.cuh"
#include "dense_crf/op_cuda.h"
#include "dense_crf/partition.h"
#include "dense_crf/rows.cuh"
#include "dense_crf/spatial.cuh"
#include "dense_crf/sweep.cuh"
#include "dense_crf/tiles.cuh"

namespace edgeseg::dense_crf {
namespace gpu {
namespace {

/// The columns of -mu, padded with zeros. Rows are the classes that messages come from, columns quads.
struct TurnCompatibility {
    const float* compatibility;  // (C, C)
    int classes;
    float* turned;  // (C, stride)

    EDGESEG_HOST_DEVICE int rows(int) const { return classes; }

    __device__ void operator()(int, int from, int quad) const {
        const auto at = [&](int to) { return to < classes ? -compatibility[to * classes + from] : 0.0f; };
        const int c = 4 * quad;
        store_quad({at(c), at(c + 1), at(c + 2), at(c + 3)}, turned, from * static_cast<int>(blockDim.x) + quad);
    }
};

/// A power of two that keeps tables at most half full.
std::uint32_t slots_for(int vertices) {
    std::uint32_t slots = 64;
    while (slots < 2u * static_cast<std::uint32_t>(vertices)) slots *= 2;
    return slots;
}

/// What sums over a vertex are multiplied by to make integers of them.
///
/// The bound: a pixel of weight w at a vertex has N >= w M / 64, with M the vertex's sum of weights and 1 / 64 what six
/// blurs leave of it in place. So the sum of w N^-1/2 Q is at most 8 / M^1/2 times the sum of w^1/2, and that at most
/// 8 n^1/2 for n pixels, by Cauchy and Schwarz.
float sum_scale(const Params& params) {
    const double bound = 8 * std::sqrt(static_cast<double>(params.image.size[1]) * params.image.size[2]);
    return std::ldexp(1.0f, 30 - std::ilogb(bound));
}

/// A run over the images of a batch, one after the other.
template <class T>
class MeanField {
  public:
    MeanField(const Params& params, int vertices, void* memory, cudaStream_t stream)
        : p_(params),
          stream_(stream),
          row_(params.probabilities.size[1]),
          tiles_(params.image.size[1], params.image.size[2], row_.lanes),
          grid_(params),
          capacity_(vertices),
          carver_(memory) {
        divide_memory();
    }

    std::size_t bytes() const { return carver_.bytes(); }

    void run() const {
        if (p_.spatial_count) set_axes();
        if (p_.compatibility) {
            const int classes = p_.probabilities.size[1];
            for_rows(1, classes, row_.quads(), stream_, TurnCompatibility{p_.compatibility, classes, compatibility_});
        }
        check(cudaMemsetAsync(lattices_.overflow, 0, sizeof(int), stream_));
        for (int image = 0; image < p_.image.size[0]; ++image) {
            if (lattices_.count) build(image);
            infer(image);
        }
    }

  private:
    /// Gives every array its place, or where there is no memory only counts.
    void divide_memory() {
        Lattices& l = lattices_;
        l.a_term = lattices_a_term(p_.quality);
        l.count = p_.bilateral_count * l.a_term;
        l.slots = slots_for(capacity_);
        l.capacity = static_cast<std::uint32_t>(capacity_);
        const std::ptrdiff_t tiles = static_cast<std::ptrdiff_t>(l.count) * tiles_.count();
        const std::ptrdiff_t slots = static_cast<std::ptrdiff_t>(l.count) * l.slots;
        const std::ptrdiff_t vertices = static_cast<std::ptrdiff_t>(l.count) * capacity_;
        carver_.take(l.overflow, 1);  // first, for overflow_flag
        // What begins as zeros on each image, and behind it what begins as ones.
        carver_.take(l.vertices, l.count);
        carver_.take(l.mass, slots);
        carver_.take(l.keys, slots);
        carver_.take(l.vertex_of, slots);
        carver_.take(l.slot_of, vertices);
        carver_.take(l.around, vertices * kPairs * kAround);
        l.groups.tiles = tiles_.count();
        l.groups.corners_a_tile = tiles_.corners();
        carver_.take(l.groups.weight, tiles * tiles_.corners());
        carver_.take(l.groups.group_of, tiles * tiles_.corners());
        carver_.take(l.groups.corners, tiles * tiles_.corners());
        carver_.take(l.groups.begin, tiles * (tiles_.corners() + Groups::kPadding));
        carver_.take(l.groups.vertex, tiles * tiles_.corners());
        carver_.take(l.groups.groups, tiles);
        carver_.take(scale_, static_cast<std::ptrdiff_t>(p_.bilateral_count) * tiles_.count() * tiles_.pixels());
        carver_.take(ones_[0].data, vertices);
        carver_.take(ones_[1].data, vertices);
        carver_.take(sums_, vertices * row_.stride());
        carver_.take(values_[0], vertices * row_.stride());
        carver_.take(values_[1], vertices * row_.stride());
        if (p_.compatibility) {
            carver_.take(compatibility_, static_cast<std::ptrdiff_t>(p_.probabilities.size[1]) * row_.stride());
        }
        if (!p_.spatial_count) return;
        for (int t = 0; t < p_.spatial_count; ++t) {
            const SpatialTerm& term = p_.spatial[t];
            axes_[2 * t] = Axis::of(term.sigma_x, grid_.width, tiles_.width, grid_.step);
            axes_[2 * t + 1] = Axis::of(term.sigma_y, grid_.height, tiles_.height, grid_.step);
        }
        for (int i = 0; i < 2 * p_.spatial_count; ++i) {
            carver_.take(axes_[i].taps, axes_[i].points);
            carver_.take(axes_[i].norm, axes_[i].points);
        }
        const std::ptrdiff_t on_grid = static_cast<std::ptrdiff_t>(grid_.height) * grid_.width * row_.stride();
        carver_.take(grid_sums_, on_grid);
        carver_.take(filtered_, on_grid);
        carver_.take(messages_, on_grid);
    }

    void set_axes() const {
        SetAxes set{};
        for (int i = 0; i < 2 * p_.spatial_count; ++i) set.axes[i] = axes_[i];
        for_rows(2 * p_.spatial_count, grid_.height > grid_.width ? grid_.height : grid_.width, 1, stream_, set);
    }

    Placement placement() const {
        Placement placement{};
        for (int t = 0; t < p_.bilateral_count; ++t) {
            float most[kFeatures];
            scale_features(p_, p_.bilateral[t], placement.per_feature[t], most);
            placement.space[t] = key_space(most);
        }
        for (int l = 0; l < lattices_.a_term; ++l) {
            for (int i = 0; i < kFeatures; ++i) placement.shift[l][i] = shift_of(l, i);
        }
        return placement;
    }

    /// The lattices of an image and what normalises them.
    void build(int image) const {
        const Lattices& l = lattices_;
        clear(l.vertices, l.keys, 0);
        clear(l.keys, l.vertex_of, 0xff);
        const Placement place = placement();
        for_blocks(tiles_.count(), l.count, tiles_.pixels(), BuildTile::shared_bytes(tiles_.pixels()), stream_,
                   BuildTile{p_.image, image, tiles_, place, l});
        for_rows(l.count, capacity_, kPairs, stream_, Connect{l, place, ones_[0], sums()});
        static_assert(kPairs == 3, "the blurred ones end in the second array");
        for (int pair = 0; pair < kPairs; ++pair) blur(pair, ones_[pair % 2], ones_[1 - pair % 2], 1);
        for_blocks(tiles_.count(), p_.bilateral_count, tiles_.pixels(), 0, stream_,
                   Normalise{tiles_, l, ones_[1], scale_});
    }

    /// Sets all bytes of the arrays from `begin` up to `end`.
    void clear(void* begin, void* end, int byte) const {
        const auto bytes = static_cast<std::byte*>(end) - static_cast<std::byte*>(begin);
        check(cudaMemsetAsync(begin, byte, static_cast<std::size_t>(bytes), stream_));
    }

    void infer(int image) const {
        const bool alone = p_.iterations == 0;
        if (!alone) sweep(image, Step::kFirst);
        for (int iteration = 1; iteration <= p_.iterations; ++iteration) {
            if (lattices_.count) {
                const int quads = row_.quads();
                blur(0, sums(), Rows<T>{values_[0], quads}, quads);
                blur(1, Rows<T>{values_[0], quads}, Rows<T>{values_[1], quads}, quads, sums());
                blur(2, Rows<T>{values_[1], quads}, Rows<T>{values_[0], quads}, quads);
            }
            for (int t = 0; t < p_.spatial_count; ++t) filter(t);
            sweep(image, iteration == p_.iterations ? Step::kLast : Step::kMiddle);
        }
        if (alone) sweep(image, Step::kLast);
    }

    template <class From, class To>
    void blur(int pair, const From& from, const To& to, int columns, const Sums& cleared = {}) const {
        for_rows(lattices_.count, capacity_, columns, stream_, BlurPair<From, To>{lattices_, pair, from, to, cleared});
    }

    void filter(int t) const {
        const int points = grid_.height * grid_.width;
        for_rows(1, points, row_.quads(), stream_,
                 FilterAlong<T>{grid_, axes_[2 * t], true, 1, false, row_.quads(), grid_sums_, filtered_});
        for_rows(1, points, row_.quads(), stream_,
                 FilterAlong<T>{grid_, axes_[2 * t + 1], false, p_.spatial[t].weight, t != 0, row_.quads(), filtered_,
                                messages_});
    }

    void sweep(int image, Step step) const {
        switch (row_.lane_quads) {
            case 1:
                return sweep_with<1>(image, step);
            case 2:
                return sweep_with<2>(image, step);
            case 3:
                return sweep_with<3>(image, step);
            case 4:
                return sweep_with<4>(image, step);
            case 5:
                return sweep_with<5>(image, step);
            case 6:
                return sweep_with<6>(image, step);
            default:
                return sweep_with<8>(image, step);
        }
    }

    template <int kQuads>
    void sweep_with(int image, Step step) const {
        SweepTile<kQuads, T> sweep{.probabilities = p_.probabilities,
                                   .labels = p_.labels,
                                   .marginals = p_.marginals,
                                   .image = image,
                                   .step = step,
                                   .tiles = tiles_,
                                   .lanes = row_.lanes,
                                   .lattices = lattices_,
                                   .terms = 0,
                                   .weight = {},
                                   .scale = scale_,
                                   .values = values_[0],
                                   .sums = sums_,
                                   .sum_scale = sum_scale(p_),
                                   .grid = grid_,
                                   .messages = nullptr,
                                   .grid_sums = grid_sums_,
                                   .compatibility = nullptr};
        if (p_.iterations > 0 && step != Step::kFirst) {
            sweep.terms = p_.bilateral_count;
            for (int t = 0; t < p_.bilateral_count; ++t) sweep.weight[t] = p_.bilateral[t].weight;
            sweep.messages = messages_;
            sweep.compatibility = compatibility_;
        }
        for_blocks(tiles_.count(), 1, tiles_.pixels() * row_.lanes,
                   SweepTile<kQuads, T>::shared_bytes(tiles_.pixels(), row_.lanes), stream_, sweep);
    }

    Sums sums() const { return {sums_, row_.quads(), 1 / sum_scale(p_)}; }

    const Params& p_;
    cudaStream_t stream_;
    RowShape row_;
    Tiles tiles_;
    Grid grid_;
    int capacity_;
    Carver carver_;
    Lattices lattices_ = {};
    Axis axes_[2 * kMaxTerms] = {};
    float* scale_ = nullptr;
    Scalars ones_[2] = {};
    int* sums_ = nullptr;
    T* values_[2] = {};
    float* compatibility_ = nullptr;
    T* grid_sums_ = nullptr;
    T* filtered_ = nullptr;
    T* messages_ = nullptr;
};

}  // namespace
}  // namespace gpu

std::size_t workspace_bytes_cuda(const Params& params, int vertices, Storage storage) {
    if (storage == Storage::kHalf) return gpu::MeanField<__half>(params, vertices, nullptr, nullptr).bytes();
    return gpu::MeanField<float>(params, vertices, nullptr, nullptr).bytes();
}

void run_cuda(const Params& params, void* workspace, int vertices, Storage storage, parallel::CudaStream stream) {
    if (storage == Storage::kHalf) return gpu::MeanField<__half>(params, vertices, workspace, stream).run();
    gpu::MeanField<float>(params, vertices, workspace, stream).run();
}

int* overflow_flag(void* workspace) {
    return static_cast<int*>(workspace);
}

}  // namespace edgeseg::dense_crf
