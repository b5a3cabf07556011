#pragma once

#include <cstddef>
#include <cstdint>

#include "dense_crf/hash.cuh"
#include "dense_crf/lattices.h"
#include "dense_crf/launch.cuh"
#include "dense_crf/rows.cuh"
#include "dense_crf/tiles.cuh"
#include "parallel/view.h"

/// Building the lattices of an image, and blurring in them.
namespace edgeseg::dense_crf::gpu {

inline constexpr int kPairs = kCorners / 2;  // of blur axes: each kernel blurs along two
inline constexpr int kAround = 8;            // a vertex's neighbours along two axes

/// Sums of barycentric weights in fixed point, in 64 bits.
inline constexpr float kMassUnit = 1 << 24;

/// The lattices of an image. Arrays begin with the axis of lattices, which are sorted by term.
struct Lattices {
    int count;
    int a_term;
    std::uint32_t slots;
    std::uint32_t capacity;  // vertices
    int* overflow;
    std::uint32_t* vertices;
    Key* keys;                 // (slots)
    std::uint32_t* vertex_of;  // (slots)
    std::uint32_t* slot_of;    // (capacity)
    Key* mass;                 // (slots): the sum of weights, times kMassUnit
    int* around;               // (kPairs, capacity, kAround): see Connect
    Groups groups;

    __device__ __forceinline__ VertexTable table(int lattice) const {
        const std::ptrdiff_t first_slot = static_cast<std::ptrdiff_t>(lattice) * slots;
        return {keys + first_slot,
                vertex_of + first_slot,
                slot_of + first_vertex(lattice),
                vertices + lattice,
                overflow,
                slots - 1,
                capacity};
    }

    EDGESEG_HOST_DEVICE std::ptrdiff_t first_vertex(int lattice) const {
        return static_cast<std::ptrdiff_t>(lattice) * capacity;
    }

    /// The vertices of a lattice; none after an overflow, when their numbers cannot be trusted.
    EDGESEG_HOST_DEVICE int alive(int lattice) const { return *overflow ? 0 : static_cast<int>(vertices[lattice]); }
};

/// Where the pixels lie in the lattices.
struct Placement {
    KeySpace space[kMaxTerms];
    float per_feature[kMaxTerms][kFeatures];  // of each term
    float shift[kMostLattices][kFeatures];

    /// Simplex and keys of one pixel.
    EDGESEG_HOST_DEVICE void place(int term, int lattice_of_term, int y, int x, const std::uint8_t* color,
                                   float* weight, std::int64_t* keys) const {
        const float raw[kFeatures] = {static_cast<float>(x), static_cast<float>(y), static_cast<float>(color[0]),
                                      static_cast<float>(color[1]), static_cast<float>(color[2])};
        float features[kFeatures];
        for (int i = 0; i < kFeatures; ++i) {
            features[i] = raw[i] * per_feature[term][i] + shift[lattice_of_term][i];
        }
        const auto simplex = simplex_of<Scalar>(features, space[term]);
        corner_keys(space[term], simplex.origin, simplex.rank, keys);
        for (int k = 0; k < kCorners; ++k) weight[k] = simplex.weight[k];
    }
};

/// The sum over all threads of lower number, and over all into `total`.
__device__ __forceinline__ std::uint32_t exclusive_sum(std::uint32_t value, std::uint32_t* of_warps,
                                                       std::uint32_t& total) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    std::uint32_t sum = value;
    for (int distance = 1; distance < 32; distance *= 2) {
        const std::uint32_t other = __shfl_up_sync(~0u, sum, distance);
        if (lane >= distance) sum += other;
    }
    if (lane == 31) of_warps[warp] = sum;
    __syncthreads();
    std::uint32_t before = 0;
    total = 0;
    for (int i = 0; i < static_cast<int>(blockDim.x) / 32; ++i) {
        if (i == warp) before = total;
        total += of_warps[i];
    }
    return before + sum - value;
}

/// The vertices of one tile, and its corners grouped by them. One block a tile and lattice, one thread a pixel.
///
/// The tile first finds its own vertices in shared memory, so that the lattice's table is asked once for each rather
/// than once for each corner. Corners of a group are in order of warp, corner and lane, whatever ran first.
struct BuildTile {
    parallel::View<const std::uint8_t, 4> images;
    int image;
    Tiles tiles;
    Placement placement;
    Lattices lattices;

    static constexpr int kSlotsAPixel = 8;  // of the tile's table, which has up to six keys a pixel
    static constexpr int kMostWarps = kMostThreads / 32;

    static std::size_t shared_bytes(int pixels) {
        const std::size_t slots = static_cast<std::size_t>(kSlotsAPixel) * pixels;
        return slots * (sizeof(Key) + 2 * sizeof(std::uint16_t) + pixels / 32) + kMostWarps * sizeof(std::uint32_t);
    }

    __device__ void operator()() const {
        const int pixels = static_cast<int>(blockDim.x), warps = pixels / 32;
        const int pixel = static_cast<int>(threadIdx.x), warp = pixel / 32, lane = pixel % 32;
        const int tile = static_cast<int>(blockIdx.x), lattice = static_cast<int>(blockIdx.y);
        const int slots = kSlotsAPixel * pixels;
        auto* keys = reinterpret_cast<Key*>(shared_memory);            // (slots)
        auto* begin = reinterpret_cast<std::uint16_t*>(keys + slots);  // (slots)
        auto* first_group = begin + slots;                             // (slots)
        auto* of_warps = reinterpret_cast<std::uint32_t*>(first_group + slots);
        auto* counts = reinterpret_cast<std::uint8_t*>(of_warps + kMostWarps);  // (warps, slots)
        // Once the keys are in the lattice's table, the corners take their place.
        auto* weights = reinterpret_cast<float*>(shared_memory);                        // (corners)
        auto* corners = reinterpret_cast<std::uint16_t*>(weights + kCorners * pixels);  // (corners)
        const TileGroups groups = lattices.groups.at(lattice, tile);

        for (int i = pixel; i < slots; i += pixels) keys[i] = kNoKey;
        for (int i = pixel; i < warps * slots / 4; i += pixels) reinterpret_cast<std::uint32_t*>(counts)[i] = 0;
        __syncthreads();

        const int y = tiles.y(tile, pixel), x = tiles.x(tile, pixel);
        const bool inside = y < tiles.height && x < tiles.width;
        float weight[kCorners];
        int slot[kCorners];
        if (inside) {
            std::int64_t corner_key[kCorners];
            placement.place(lattice / lattices.a_term, lattice % lattices.a_term, y, x, images.at(image, y, x), weight,
                            corner_key);
            for (int k = 0; k < kCorners; ++k) {
                slot[k] = static_cast<int>(insert_key(keys, slots - 1, static_cast<Key>(corner_key[k])));
            }
        }

        // How many corners of the same vertex come before each in its warp.
        int rank[kCorners];
        for (int k = 0; k < kCorners; ++k) {
            const unsigned same = __match_any_sync(~0u, inside ? slot[k] : -1);
            const int before = inside ? counts[warp * slots + slot[k]] : 0;
            rank[k] = before + __popc(same & ((1u << lane) - 1));
            __syncwarp();
            if (inside && rank[k] == before) {
                counts[warp * slots + slot[k]] = static_cast<std::uint8_t>(before + __popc(same));
            }
            __syncwarp();
        }
        __syncthreads();

        // Where the corners and groups of each vertex begin: both counts travel in one sum.
        int count[kSlotsAPixel];
        std::uint32_t sum = 0;
        for (int i = 0; i < kSlotsAPixel; ++i) {
            const int at = pixel * kSlotsAPixel + i;
            count[i] = 0;
            if (keys[at] == kNoKey) continue;
            for (int w = 0; w < warps; ++w) {
                const int here = counts[w * slots + at];
                counts[w * slots + at] = static_cast<std::uint8_t>(count[i]);  // at most 7 warps' 32
                count[i] += here;
            }
            sum += static_cast<std::uint32_t>(count[i]) << 16 | groups_for(count[i]);
        }
        std::uint32_t total;
        std::uint32_t before = exclusive_sum(sum, of_warps, total);
        const VertexTable table = lattices.table(lattice);
        for (int i = 0; i < kSlotsAPixel; ++i) {
            if (count[i] == 0) continue;
            const int at = pixel * kSlotsAPixel + i;
            begin[at] = static_cast<std::uint16_t>(before >> 16);
            first_group[at] = static_cast<std::uint16_t>(before);
            const std::uint32_t vertex_slot = table.insert(keys[at]);
            for (int done = 0; done < count[i]; done += kMostInGroup) {
                const int group = first_group[at] + done / kMostInGroup;
                groups.begin[group] = static_cast<std::uint16_t>(begin[at] + done);
                groups.vertex[group] = vertex_slot;
            }
            before += static_cast<std::uint32_t>(count[i]) << 16 | groups_for(count[i]);
        }
        const int group_count = static_cast<int>(total & 0xffff);
        if (pixel == 0) {
            groups.begin[group_count] = static_cast<std::uint16_t>(total >> 16);
            *groups.groups = group_count;
        }
        __syncthreads();

        for (int k = 0; k < kCorners && inside; ++k) {
            const int in_vertex = counts[warp * slots + slot[k]] + rank[k];
            const int corner = k * pixels + pixel;
            weights[begin[slot[k]] + in_vertex] = weight[k];
            corners[begin[slot[k]] + in_vertex] = static_cast<std::uint16_t>(corner);
            groups.weight[corner] = weight[k];
            groups.group_of[corner] = static_cast<std::uint16_t>(first_group[slot[k]] + in_vertex / kMostInGroup);
        }
        __syncthreads();

        for (int i = pixel; i < kCorners * pixels / 8; i += pixels) {
            reinterpret_cast<uint4*>(groups.corners)[i] = reinterpret_cast<const uint4*>(corners)[i];
        }
        Key* mass = lattices.mass + static_cast<std::ptrdiff_t>(lattice) * lattices.slots;
        for (int group = pixel; group < group_count; group += pixels) {
            float weight_of_group = 0;
            for (int i = groups.begin[group]; i < groups.begin[group + 1]; ++i) weight_of_group += weights[i];
            // Rounding makes some weights negative: as two's complements they add up all the same.
            atomicAdd(mass + groups.vertex[group], static_cast<Key>(__float2ll_rn(weight_of_group * kMassUnit)));
        }
    }

    EDGESEG_HOST_DEVICE static std::uint32_t groups_for(int corners) {
        return static_cast<std::uint32_t>((corners + kMostInGroup - 1) / kMostInGroup);
    }
};

/// One float for each vertex; rows are those of all lattices, `capacity` each.
struct Scalars {
    float* data;

    __device__ __forceinline__ float get(std::ptrdiff_t row, int) const { return data[row]; }
    __device__ __forceinline__ void put(std::ptrdiff_t row, int, float value) const { data[row] = value; }
    __device__ static __forceinline__ float zero() { return 0; }
};

/// A row of classes for each vertex.
template <class T>
struct Rows {
    T* data;
    int quads;

    __device__ __forceinline__ float4 get(std::ptrdiff_t row, int quad) const {
        return load_quad(data, row * quads + quad);
    }
    __device__ __forceinline__ void put(std::ptrdiff_t row, int quad, const float4& value) const {
        store_quad(value, data, row * quads + quad);
    }
    __device__ static __forceinline__ float4 zero() { return {}; }
};

/// Rows that any block may add to: in fixed point, so that the order of additions does not matter.
struct Sums {
    int* data;
    int quads;
    float unit;  // what 1 stands for

    __device__ __forceinline__ float4 get(std::ptrdiff_t row, int quad) const {
        const int4 sum = reinterpret_cast<const int4*>(data)[row * quads + quad];
        return unit * float4{static_cast<float>(sum.x), static_cast<float>(sum.y), static_cast<float>(sum.z),
                             static_cast<float>(sum.w)};
    }
    __device__ __forceinline__ void clear(std::ptrdiff_t row, int quad) const {
        reinterpret_cast<int4*>(data)[row * quads + quad] = int4{};
    }
    __device__ static __forceinline__ float4 zero() { return {}; }
};

/// Finds a vertex's neighbours along a pair of axes, a and b: a-, a+, b-, b+, then b-a-, b-a+, b+a-, b+a+; -1 where
/// there is none. Also makes its mass a float and its sums zero. Columns are pairs.
struct Connect {
    Lattices lattices;
    Placement placement;
    Scalars ones;
    Sums sums;

    EDGESEG_HOST_DEVICE int rows(int lattice) const { return lattices.alive(lattice); }

    __device__ void operator()(int lattice, int vertex, int pair) const {
        const VertexTable table = lattices.table(lattice);
        const KeySpace& space = placement.space[lattice / lattices.a_term];
        const std::uint32_t slot = table.slot_of[vertex];
        const Key key = table.keys[slot];
        const auto a = static_cast<Key>(space.step(2 * pair)), b = static_cast<Key>(space.step(2 * pair + 1));
        const int before = table.find(key - b), after = table.find(key + b);
        const int4 along{table.find(key - a), table.find(key + a), before, after};
        int4 across{VertexTable::kAbsent, VertexTable::kAbsent, VertexTable::kAbsent, VertexTable::kAbsent};
        if (before >= 0) {
            across.x = table.find(key - b - a);
            across.y = table.find(key - b + a);
        }
        if (after >= 0) {
            across.z = table.find(key + b - a);
            across.w = table.find(key + b + a);
        }
        const std::ptrdiff_t row = lattices.first_vertex(lattice) + vertex;
        const std::ptrdiff_t in_pairs = (static_cast<std::ptrdiff_t>(lattice) * kPairs + pair) * lattices.capacity;
        auto* around = reinterpret_cast<int4*>(lattices.around + (in_pairs + vertex) * kAround);
        around[0] = along;
        around[1] = across;

        if (pair == 0) {
            const Key mass = lattices.mass[static_cast<std::ptrdiff_t>(lattice) * lattices.slots + slot];
            ones.put(row, 0, static_cast<float>(static_cast<std::int64_t>(mass)) * (1 / kMassUnit));
        }
        for (int quad = pair; quad < sums.quads; quad += kPairs) sums.clear(row, quad);
    }
};

/// The lattice's blur along the two axes of a pair: nine rows read where two kernels for an axis each would read six
/// and write one more, since these lattices are so small that starting a kernel costs more than reading from the cache.
template <class From, class To>
struct BlurPair {
    Lattices lattices;
    int pair;
    From from;
    To to;
    Sums cleared;  // made zero on the way, once they have been read; null where there are none

    EDGESEG_HOST_DEVICE int rows(int lattice) const { return lattices.alive(lattice); }

    __device__ void operator()(int lattice, int vertex, int column) const {
        const std::ptrdiff_t first = lattices.first_vertex(lattice);
        const std::ptrdiff_t in_pairs = (static_cast<std::ptrdiff_t>(lattice) * kPairs + pair) * lattices.capacity;
        const auto* around = reinterpret_cast<const int4*>(lattices.around + (in_pairs + vertex) * kAround);
        const int4 along = around[0], across = around[1];
        const auto at = [&](int other) { return other < 0 ? From::zero() : from.get(first + other, column); };
        const auto blur = [](const auto& middle, const auto& before, const auto& after) {
            return 0.5f * middle + 0.25f * (before + after);
        };
        to.put(first + vertex, column,
               blur(blur(at(vertex), at(along.x), at(along.y)), blur(at(along.z), at(across.x), at(across.y)),
                    blur(at(along.w), at(across.z), at(across.w))));
        if (cleared.data) cleared.clear(first + vertex, column);
    }
};

/// N^-1/2 of every pixel of a term, from the blurred ones. One block a tile and term, one thread a pixel. Also turns
/// the slots of the tile's groups into vertices.
struct Normalise {
    Tiles tiles;
    Lattices lattices;
    Scalars ones;  // blurred
    float* scale;  // (terms, tiles, pixels)

    __device__ void operator()() const {
        if (*lattices.overflow) return;
        const int pixels = static_cast<int>(blockDim.x), pixel = static_cast<int>(threadIdx.x);
        const int tile = static_cast<int>(blockIdx.x), term = static_cast<int>(blockIdx.y);
        const bool inside = tiles.y(tile, pixel) < tiles.height && tiles.x(tile, pixel) < tiles.width;
        float sum = 0;
        for (int lattice = term * lattices.a_term; lattice < (term + 1) * lattices.a_term; ++lattice) {
            const TileGroups groups = lattices.groups.at(lattice, tile);
            const VertexTable table = lattices.table(lattice);
            for (int group = pixel; group < *groups.groups; group += pixels) {
                groups.vertex[group] = table.vertex_of[groups.vertex[group]];
            }
            __syncthreads();
            for (int k = 0; k < kCorners && inside; ++k) {
                const int corner = k * pixels + pixel;
                const std::uint32_t vertex = groups.vertex[groups.group_of[corner]];
                sum += groups.weight[corner] * ones.get(lattices.first_vertex(lattice) + vertex, 0);
            }
        }
        scale[(static_cast<std::ptrdiff_t>(term) * tiles.count() + tile) * pixels + pixel] =
            inside ? 1 / sqrtf(sum) : 0.0f;
    }
};

}  // namespace edgeseg::dense_crf::gpu
