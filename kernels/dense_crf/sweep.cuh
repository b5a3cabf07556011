#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "dense_crf/lattice.cuh"
#include "dense_crf/launch.cuh"
#include "dense_crf/op.h"
#include "dense_crf/rows.cuh"
#include "dense_crf/spatial.cuh"
#include "dense_crf/tiles.cuh"

/// The kernel of each mean-field iteration: messages come together, Q follows, and is splatted or written out.
namespace edgeseg::dense_crf::gpu {

enum class Step : std::uint8_t { kFirst, kMiddle, kLast };  // Q from P alone; from messages; and that written out

/// What stands for log P in the padding of rows: exp of it is nothing.
inline constexpr float kNever = -1e4f;

/// One tile on its way through one step. One block a tile, `lanes` threads a pixel.
///
/// Q never leaves the block: its sums over the groups of the tile do, added to their vertices as integers. Float
/// atomics would make the result depend on what ran first; sorting corners by vertex over the whole image would have
/// each vertex read thousands of rows of Q from memory, and wait for the vertex that has the most.
template <int kQuads, class T>
struct SweepTile {
    parallel::View<const float, 4> probabilities;
    parallel::View<std::uint8_t, 3> labels;
    parallel::View<float, 4> marginals;
    int image;
    Step step;
    Tiles tiles;
    int lanes;
    Lattices lattices;
    int terms;  // bilateral
    float weight[kMaxTerms];
    const float* scale;  // (terms, tiles, pixels): N^-1/2
    const T* values;     // (lattices, capacity, stride)
    int* sums;           // likewise, in fixed point
    float sum_scale;     // what a sum is multiplied by
    Grid grid;
    const T* messages;           // (grid, stride) of the spatial terms; null where there are none
    T* grid_sums;                // (grid, stride): Q summed over each point of the grid; null where there are none
    const float* compatibility;  // (C, stride): the columns of -mu; null for Potts

    using Row = LaneRow<kQuads, T>;

    static std::size_t shared_bytes(int pixels, int lanes) {
        return static_cast<std::size_t>(pixels) * (row_quads(lanes) * sizeof(float4) + kCorners * sizeof(float) +
                                                   kCorners * sizeof(std::uint8_t) + lanes * sizeof(int4));
    }

    __device__ void operator()() const {
        if (*lattices.overflow) return;
        const int thread = static_cast<int>(threadIdx.x);
        const int pixel = thread / lanes, lane = thread % lanes;
        const int tile = static_cast<int>(blockIdx.x);
        const int y = tiles.y(tile, pixel), x = tiles.x(tile, pixel);
        const bool inside = y < tiles.height && x < tiles.width;
        auto* rows = reinterpret_cast<float4*>(shared_memory);  // (pixels, row_quads)
        float4* row = rows + pixel * row_quads(lanes);

        // Threads of pixels outside stay, since their lanes are needed; all they add is zeros.
        Row logits;
        if (step != Step::kFirst && inside) {
            add_bilateral(logits, tile, pixel, lane);
            if (messages) add_spatial(logits, y, x, lane);
        }
        if (compatibility && step != Step::kFirst) mix(logits, row, lane);
        if (inside) add_unaries(logits, y, x, lane);

        if (step == Step::kLast) {
            if (labels.data) write_label(logits, y, x, lane, inside);
            if (marginals.data) {
                softmax(logits);
                if (inside) write_marginals(logits, y, x, lane);
            }
            return;
        }
        softmax(logits);
#pragma unroll
        for (int i = 0; i < kQuads; ++i) row[Row::quad(i, lane, lanes)] = inside ? logits.part[i] : float4{};
        __syncthreads();
        if (grid_sums) sum_over_grid(rows, tile);
        for (int lattice = 0; lattice < lattices.count; ++lattice) splat(rows, tile, lattice);
    }

  private:
    EDGESEG_HOST_DEVICE int quads() const { return kQuads * lanes; }

    /// The distance of rows in shared memory: odd, so that threads which take one each meet in no bank.
    EDGESEG_HOST_DEVICE static int row_quads(int lanes) { return kQuads * lanes | 1; }

    __device__ __forceinline__ void add_bilateral(Row& message, int tile, int pixel, int lane) const {
        const int pixels = tiles.pixels();
        for (int term = 0, lattice = 0; term < terms; ++term) {
            const float factor = weight[term] * scale_of(term, tile)[pixel];
            for (int end = lattice + lattices.a_term; lattice < end; ++lattice) {
                const TileGroups groups = lattices.groups.at(lattice, tile);
                const T* __restrict__ of_lattice = values + lattices.first_vertex(lattice) * 4 * quads();
#pragma unroll
                for (int k = 0; k < kCorners; ++k) {
                    const int corner = k * pixels + pixel;
                    const std::uint32_t vertex = groups.vertex[groups.group_of[corner]];
                    message.add(groups.weight[corner] * factor,
                                of_lattice + static_cast<std::ptrdiff_t>(vertex) * 4 * quads(), lane, lanes);
                }
            }
        }
    }

    /// Reads the grid, or interpolates linearly from the four cells around.
    __device__ __forceinline__ void add_spatial(Row& message, int y, int x, int lane) const {
        if (grid.step == 1) {
            message.add(1, grid_at(messages, y, x), lane, lanes);
            return;
        }
        const int row = y / 2, column = x / 2;
        const int other_row = within(y % 2 ? row + 1 : row - 1, grid.height);
        const int other_column = within(x % 2 ? column + 1 : column - 1, grid.width);
        message.add(0.5625f, grid_at(messages, row, column), lane, lanes);
        message.add(0.1875f, grid_at(messages, row, other_column), lane, lanes);
        message.add(0.1875f, grid_at(messages, other_row, column), lane, lanes);
        message.add(0.0625f, grid_at(messages, other_row, other_column), lane, lanes);
    }

    /// message = -mu * message; every lane needs the whole row for that.
    __device__ __forceinline__ void mix(Row& message, float4* row, int lane) const {
#pragma unroll
        for (int i = 0; i < kQuads; ++i) row[Row::quad(i, lane, lanes)] = message.part[i];
        __syncwarp();
        const auto* whole = reinterpret_cast<const float*>(row);
        LaneRow<kQuads, float> mixed;
        for (int c = 0; c < probabilities.size[1]; ++c) {
            const float from = whole[c];
#pragma unroll
            for (int i = 0; i < kQuads; ++i) {
                const float4 column = load_quad(compatibility, c * quads() + Row::quad(i, lane, lanes));
                mixed.part[i] = mixed.part[i] + from * column;
            }
        }
        __syncwarp();
#pragma unroll
        for (int i = 0; i < kQuads; ++i) message.part[i] = mixed.part[i];
    }

    __device__ __forceinline__ void add_unaries(Row& message, int y, int x, int lane) const {
        const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(tiles.height) * tiles.width;
        const float* __restrict__ first = probabilities.at(image, 0, y, x);
#pragma unroll
        for (int i = 0; i < kQuads; ++i) {
            const int c = 4 * Row::quad(i, lane, lanes);
            const auto unary = [&](int at) {
                return at < probabilities.size[1] ? logf(fmaxf(first[at * plane], kLeastProbability)) : kNever;
            };
            message.part[i] = message.part[i] + float4{unary(c), unary(c + 1), unary(c + 2), unary(c + 3)};
        }
    }

    /// The result of `combine` over the lanes of a pixel.
    template <class Combine>
    __device__ __forceinline__ float over_lanes(float value, const Combine& combine) const {
        for (int distance = 1; distance < lanes; distance *= 2) {
            value = combine(value, __shfl_xor_sync(~0u, value, distance));
        }
        return value;
    }

    __device__ __forceinline__ void softmax(Row& logits) const {
        const auto greater = [](float a, float b) { return fmaxf(a, b); };
        float highest = kNever;
#pragma unroll
        for (int i = 0; i < kQuads; ++i) {
            const float4& part = logits.part[i];
            highest = fmaxf(highest, fmaxf(fmaxf(part.x, part.y), fmaxf(part.z, part.w)));
        }
        highest = over_lanes(highest, greater);
        float sum = 0;
#pragma unroll
        for (int i = 0; i < kQuads; ++i) {
            float4& part = logits.part[i];
            part = part - highest;
            part = {expf(part.x), expf(part.y), expf(part.z), expf(part.w)};
            sum += part.x + part.y + part.z + part.w;
        }
        sum = over_lanes(sum, [](float a, float b) { return a + b; });
#pragma unroll
        for (int i = 0; i < kQuads; ++i) logits.part[i] = 1 / sum * logits.part[i];
    }

    /// Of equals the first class wins.
    __device__ __forceinline__ void write_label(const Row& logits, int y, int x, int lane, bool inside) const {
        float highest = -INFINITY;
        int label = 0;
        const auto offer = [&](float value, int c) {
            if (value > highest || (value == highest && c < label)) {
                highest = value;
                label = c;
            }
        };
#pragma unroll
        for (int i = 0; i < kQuads; ++i) {
            const int c = 4 * Row::quad(i, lane, lanes);
            offer(logits.part[i].x, c);
            offer(logits.part[i].y, c + 1);
            offer(logits.part[i].z, c + 2);
            offer(logits.part[i].w, c + 3);
        }
        for (int distance = 1; distance < lanes; distance *= 2) {
            const float value = __shfl_xor_sync(~0u, highest, distance);
            offer(value, __shfl_xor_sync(~0u, label, distance));
        }
        if (inside && lane == 0) *labels.at(image, y, x) = static_cast<std::uint8_t>(label);
    }

    __device__ __forceinline__ void write_marginals(const Row& q, int y, int x, int lane) const {
        const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(tiles.height) * tiles.width;
        float* __restrict__ first = marginals.at(image, 0, y, x);
#pragma unroll
        for (int i = 0; i < kQuads; ++i) {
            const int c = 4 * Row::quad(i, lane, lanes);
            const auto write = [&](int at, float value) {
                if (at < probabilities.size[1]) first[at * plane] = value;
            };
            write(c, q.part[i].x);
            write(c + 1, q.part[i].y);
            write(c + 2, q.part[i].z);
            write(c + 3, q.part[i].w);
        }
    }

    __device__ __forceinline__ void sum_over_grid(const float4* rows, int tile) const {
        const int width = 1 << tiles.log_width;
        const int columns = width / grid.step;  // of the tile
        const int items = tiles.pixels() / (grid.step * grid.step) * quads();
        for (int item = static_cast<int>(threadIdx.x); item < items; item += static_cast<int>(blockDim.x)) {
            const int point = item / quads(), quad = item % quads();
            const int row = point / columns, column = point % columns;
            const int grid_row = tiles.top(tile) / grid.step + row, grid_column = tiles.left(tile) / grid.step + column;
            if (grid_row >= grid.height || grid_column >= grid.width) continue;
            float4 sum{};
            for (int dy = 0; dy < grid.step; ++dy) {
                for (int dx = 0; dx < grid.step; ++dx) {
                    const int pixel = (row * grid.step + dy) * width + column * grid.step + dx;
                    sum = sum + rows[pixel * row_quads(lanes) + quad];
                }
            }
            store_quad(sum, grid_at(grid_sums, grid_row, grid_column), quad);
        }
    }

    /// Sums Q over the groups of a lattice. Up to 32 neighbouring threads have a quad of a group each; groups are short
    /// enough that the other threads of the warp, which have other groups, wait little.
    __device__ __forceinline__ void splat(const float4* rows, int tile, int lattice) const {
        const int pixels = tiles.pixels(), threads = static_cast<int>(blockDim.x);
        const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
        auto* weights = reinterpret_cast<float*>(shared_memory + pixels * row_quads(lanes) * sizeof(float4));
        auto* buffers = reinterpret_cast<int4*>(weights + kCorners * pixels);  // (threads)
        auto* pixel_of = reinterpret_cast<std::uint8_t*>(buffers + threads);   // (corners), as are the weights
        const TileGroups groups = lattices.groups.at(lattice, tile);
        const float* __restrict__ scale_here = scale_of(lattice / lattices.a_term, tile);
        const int group_count = *groups.groups;

        const int corners = groups.begin[group_count];
        for (int i = thread; i < corners; i += threads) {
            const int corner = groups.corners[i];
            const int pixel = corner & (pixels - 1);
            weights[i] = groups.weight[corner] * scale_here[pixel];
            pixel_of[i] = static_cast<std::uint8_t>(pixel);
        }
        __syncthreads();

        const int together = quads() < 32 ? quads() : 32;  // threads of a group
        const int at_once = 32 / together;                 // groups of a warp
        int4* buffer = buffers + warp * 32;
        int* of_lattice = sums + lattices.first_vertex(lattice) * 4 * quads();
        for (int first = warp * at_once; first < group_count; first += threads / 32 * at_once) {
            const int group = first + lane / together;
            const bool busy = lane < at_once * together && group < group_count;
            for (int quad = lane % together; quad - lane % together < quads(); quad += together) {
                float4 sum{};
                if (busy && quad < quads()) {
                    const int end = groups.begin[group + 1];
                    for (int i = groups.begin[group]; i < end; ++i) {
                        sum = sum + weights[i] * rows[pixel_of[i] * row_quads(lanes) + quad];
                    }
                }
                buffer[lane] = {__float2int_rn(sum_scale * sum.x), __float2int_rn(sum_scale * sum.y),
                                __float2int_rn(sum_scale * sum.z), __float2int_rn(sum_scale * sum.w)};
                __syncwarp();
                // The other way round, neighbouring threads add to neighbouring words of a row. What lies beyond the
                // last group or the end of a row is zero, as is most of what improbable classes have.
                for (int i = lane; i < 4 * at_once * together; i += 32) {
                    const int of_group = first + i / (4 * together);
                    const int value = reinterpret_cast<const int*>(buffer)[i];
                    if (value == 0) continue;
                    const int c = 4 * (quad - lane % together) + i % (4 * together);
                    atomicAdd(of_lattice + static_cast<std::ptrdiff_t>(groups.vertex[of_group]) * 4 * quads() + c,
                              value);
                }
                __syncwarp();
            }
        }
        __syncthreads();
    }

    __device__ __forceinline__ const float* scale_of(int term, int tile) const {
        return scale + (static_cast<std::ptrdiff_t>(term) * tiles.count() + tile) * tiles.pixels();
    }

    template <class Value>
    __device__ __forceinline__ Value* grid_at(Value* data, int row, int column) const {
        return data + (static_cast<std::ptrdiff_t>(row) * grid.width + column) * 4 * quads();
    }

    EDGESEG_HOST_DEVICE static int within(int i, int size) { return i < 0 ? 0 : i < size ? i : size - 1; }
};

}  // namespace edgeseg::dense_crf::gpu
