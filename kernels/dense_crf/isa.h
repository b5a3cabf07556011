#pragma once

#include <cstddef>
#include <cstdint>

#include "dense_crf/layout.h"
#include "dense_crf/op.h"

/// The inner loops, compiled once for each instruction set; which one runs is chosen when the process starts. A pixel's
/// or vertex's classes are a row of `stride` floats, aligned to 64 bytes and padded with zeros.
namespace edgeseg::dense_crf {

/// Half the resolution of the image or all of it, on which spatial terms are summed.
struct Grid {
    int height, width;
    int step;  // kCell or 1 pixels
};

/// to = weight * norm * conv(taps, norm * from) along one axis, or that added.
struct Filter {
    Grid grid;
    int stride;
    bool along_x;
    const float* taps;  // the middle one and those after it
    int radius;
    const float* norm;  // along the axis
    float weight;
    bool add;
    const float* from;  // (grid, stride)
    float* to;
};

/// What a sweep reads and writes.
struct Sweep {
    const Params& params;
    int image;  // of the batch
    const Tiling& tiling;
    int stride;
    const float* unaries;     // (tiles, 16, stride): log P
    const Run* runs;          // of the points of each row of tiles, from the index of its first pixel on
    const Lattice* lattices;  // sorted by term
    int lattice_count;
    const float* const* scale;   // (terms)(points): N^-1/2
    const float* compatibility;  // (C, stride): the columns of -mu; null for Potts
    const float* messages;       // (grid, stride) of the spatial terms; null where there are none
    float* sums;                 // (grid, stride): Q summed over each cell of the grid; null where there are none
    Grid grid;
    float highest;  // no message exceeds it; infinity where that is not known
};

/// Mean field takes Q from P alone first, then from messages, and writes that out at last. The other two are the parts
/// of a filter on its own: `unaries` splatted as they are, and the messages themselves written out as `marginals`.
enum class Step : std::uint8_t { kFirst, kMiddle, kLast, kSplat, kSlice };

struct Isa {
    const char* name;
    int lanes;  // floats of a register

    /// log P of one row of tiles, in tile order; the padding gets kNever.
    void (*write_unaries)(const Params& params, int image, const Tiling& tiling, int tile_row, int stride,
                          float* unaries);

    /// The same of plain values: no logarithm, and zeros for padding.
    void (*write_rows)(const Params& params, int image, const Tiling& tiling, int tile_row, int stride, float* rows);

    /// The weights and keys, (count, 6), of the corners of `count` points. `raw` is (5, distance): x, y and colours, of
    /// which a multiple of 16 may be read.
    void (*find_corners)(const Lattice& lattice, const float* raw, std::ptrdiff_t distance, int count,
                         std::int64_t* keys, Corners* corners);

    /// Rows `begin` to `end` of the sum of `count` arrays, each `distance` floats behind the other, which become zero.
    void (*gather)(float* arrays, std::ptrdiff_t distance, int count, int stride, int begin, int end, float* sum);

    /// One axis of the lattice's blur for vertices `begin` to `end`.
    void (*blur)(const Neighbours* neighbours, int begin, int end, int stride, const float* from, float* to);

    /// Lines `begin` to `end` across the axis of a filter.
    void (*filter)(const Filter& filter, int begin, int end);

    /// Grid points `begin` to `end` multiplied by the compatibility.
    void (*mix)(const float* compatibility, int classes, int stride, std::ptrdiff_t begin, std::ptrdiff_t end,
                float* messages);

    /// One row of tiles: messages come together, Q follows, and is splatted into `thread`'s copy or written out.
    void (*sweep)(const Sweep& sweep, Step step, int tile_row, int thread);
};

/// What stands for log P in the padding of rows: exp of it is nothing.
inline constexpr float kNever = -1e30f;

/// The registers of the rows that loops are compiled for.
inline constexpr int kCompiledRegisters[] = {1, 2, 3, 4, 6, 8, 16, 32, 64};

/// The floats of a row for so many classes.
int stride_of(const Isa& isa, int classes);

/// The best that this CPU has.
const Isa& isa();

const Isa& isa_portable();
#if defined(__x86_64__)
const Isa& isa_avx2();
const Isa& isa_avx512();
#endif

}  // namespace edgeseg::dense_crf
