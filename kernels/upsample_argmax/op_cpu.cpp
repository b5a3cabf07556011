#include <algorithm>
#include <cstring>

#include "parallel/for_each.h"
#include "parallel/pack.h"
#include "upsample_argmax/op.h"
#include "upsample_argmax/op_body.h"

namespace edgeseg::upsample_argmax {
namespace {

using parallel::Byte4;
using parallel::Float4;
using parallel::Int4;
using parallel::View;

constexpr int kLanes = sizeof(Float4) / sizeof(float);
constexpr int kRows = 4;  // with the leads of so many rows the packs still fit into 16 registers

/// Cells narrower than this leave most lanes of a pack empty: there the body runs pixel by pixel, as on a GPU.
constexpr int kMinCellWidth = 2;

/// How the target pixels along one axis share out among the cells.
struct Shares {
    float* weight;  // of each target coordinate's tap, and kLanes more that may be read
    int* begin;     // the first target coordinate of each cell, and the end of the last
};

/// The first target coordinate whose tap has `low` or more: Axis::tap_at solved for i.
int first_target(int low, const Axis& axis) {
    if (low <= axis.first) return 0;
    if (low > axis.last) return axis.target;
    const auto& [begin, end, whole] = axis.span;
    const std::int64_t step = 2ll * axis.source * (end - begin);
    const std::int64_t lowest = ((2ll * low + 1) * whole - 2ll * axis.source * begin) * axis.target - step / 2;
    return static_cast<int>(std::clamp<std::int64_t>((lowest + step - 1) / step, 0, axis.target));
}

void fill(const Shares& shares, const Axis& axis) {
    for (int i = 0; i < axis.target; ++i) shares.weight[i] = axis.tap_at(i).weight;
    std::fill_n(shares.weight + axis.target, kLanes, 0.0f);
    for (int low = 0; low <= axis.source; ++low) shares.begin[low] = first_target(low, axis);
}

struct Workspace {
    Shares rows = {}, columns = {};
    View<std::uint8_t, 3> winners;
    std::size_t bytes = 0;

    Workspace(const Params& params, void* memory)
        : winners{nullptr, {params.logits.size[0], params.logits.size[2], params.logits.size[3]}} {
        const auto take = [&]<class T>(T*& part, std::ptrdiff_t count) {
            if (memory) part = reinterpret_cast<T*>(static_cast<std::byte*>(memory) + bytes);
            bytes += static_cast<std::size_t>(count) * sizeof(T);
        };
        take(rows.weight, params.labels.size[1] + kLanes);
        take(rows.begin, params.logits.size[2] + 1);
        take(columns.weight, params.labels.size[2] + kLanes);
        take(columns.begin, params.logits.size[3] + 1);
        take(winners.data, winners.count());
    }
};

void store(Byte4 bytes, int count, std::uint8_t* to) {
    if (count >= kLanes) {
        std::memcpy(to, &bytes, kLanes);
    } else {
        for (int lane = 0; lane < count; ++lane) to[lane] = bytes[lane];
    }
}

void write_source_winners(const float* logits, std::ptrdiff_t plane, int classes, int count, std::uint8_t* winners) {
    int i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Int4 labels = source_winner<Float4, Int4>(logits + i, plane, classes);
        store(__builtin_convertvector(labels, Byte4), kLanes, winners + i);
    }
    for (; i < count; ++i) {
        winners[i] = static_cast<std::uint8_t>(source_winner<float, int>(logits + i, plane, classes));
    }
}

/// The target rows between two source rows of one image.
struct Band {
    const float* logits;  // (C, h, w)
    std::ptrdiff_t plane;
    int classes;
    const std::uint8_t* winners;    // (h, w)
    int top, bottom;                // the source rows
    int first, last, source_width;  // the source columns that are read, and all
    const float* weight_y;          // of the rows, kRows more may be read
    int rows;
    const Shares& columns;
    std::uint8_t* labels;  // (rows, width)
    int width;
};

Float4 corner_logits(const Band& band, const Corners& at, int c) {
    const float* plane = band.logits + c * band.plane;
    return Float4{plane[at.top_left], plane[at.top_right], plane[at.bottom_left], plane[at.bottom_right]};
}

/// The classes that may win somewhere in a cell, ascending. A class is out where one of the corners' winners beats it
/// at all four corners, for then it does so everywhere between; "beats" is >= over later classes, > over earlier ones.
int contenders(const Band& band, const Corners& at, std::uint8_t* contender) {
    const std::uint8_t corner_winner[] = {band.winners[at.top_left], band.winners[at.top_right],
                                          band.winners[at.bottom_left], band.winners[at.bottom_right]};
    int winner[4];
    Float4 winner_logits[4];
    int winners = 0;
    for (const int c : corner_winner) {
        if (std::find(winner, winner + winners, c) != winner + winners) continue;
        winner_logits[winners] = corner_logits(band, at, c);
        winner[winners++] = c;
    }

    int count = 0;
    for (int c = 0; c < band.classes; ++c) {
        const Float4 logits = corner_logits(band, at, c);
        bool beaten = false;
        for (int i = 0; i < winners && !beaten; ++i) {
            const auto beats = winner[i] < c ? winner_logits[i] >= logits : winner_logits[i] > logits;
            beaten = beats[0] & beats[1] & beats[2] & beats[3];
        }
        contender[count] = static_cast<std::uint8_t>(c);
        count += !beaten;
    }
    return count;
}

void write_mixed_cell(const Band& band, const Corners& at, int begin, int end) {
    std::uint8_t contender[kMaxClasses];
    const int count = contenders(band, at, contender);
    for (int x = begin; x < end; x += kLanes) {
        const auto weight_x = parallel::load<Float4>(band.columns.weight + x);
        for (int y = 0; y < band.rows; y += kRows) {
            Lead<Float4, Int4> lead[kRows];
            for (int i = 0; i < count; ++i) {
                offer_in_cell(band.logits + contender[i] * band.plane, at, contender[i], weight_x, band.weight_y + y,
                              lead);
            }
            for (int row = 0; row < std::min(kRows, band.rows - y); ++row) {
                store(__builtin_convertvector(lead[row].label, Byte4), end - x,
                      band.labels + static_cast<std::ptrdiff_t>(y + row) * band.width + x);
            }
        }
    }
}

void write_band(const Band& band) {
    const auto corners = [&](int left) {
        return Corners(band.top, band.bottom, left, std::min(left + 1, band.last), band.source_width);
    };
    for (int left = band.first; left <= band.last;) {
        const int begin = band.columns.begin[left];
        const Corners at = corners(left++);
        if (!at.agree(band.winners)) {
            write_mixed_cell(band, at, begin, band.columns.begin[left]);
            continue;
        }
        const std::uint8_t label = band.winners[at.top_left];
        for (; left <= band.last; ++left) {
            const Corners next = corners(left);
            if (!next.agree(band.winners) || band.winners[next.top_left] != label) break;
        }
        for (int y = 0; y < band.rows; ++y) {
            std::memset(band.labels + static_cast<std::ptrdiff_t>(y) * band.width + begin, label,
                        band.columns.begin[left] - begin);
        }
    }
}

}  // namespace

std::size_t workspace_bytes(const Params& params) {
    return Workspace(params, nullptr).bytes;
}

void run_cpu(const Params& params, void* memory, int threads) {
    const View<const float, 4>& logits = params.logits;
    const View<std::uint8_t, 3>& labels = params.labels;
    const std::ptrdiff_t images = logits.size[0];
    const int source_height = logits.size[2];
    const int source_width = logits.size[3];
    const int height = labels.size[1];
    const int width = labels.size[2];
    const Axis rows(source_height, height, params.rows);
    const Axis columns(source_width, width, params.columns);
    const Workspace workspace(params, memory);
    const auto& winners = workspace.winners;
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(source_height) * source_width;
    const std::ptrdiff_t bands = rows.cells();

    parallel::for_each(images * bands, parallel::threads_worth(threads, logits.count()), [&](std::ptrdiff_t i) {
        const std::ptrdiff_t n = i / bands;
        const std::ptrdiff_t y = rows.first + i % bands;
        write_source_winners(logits.at(n, 0, y, columns.first), plane, logits.size[1], columns.cells(),
                             winners.at(n, y, columns.first));
    });

    const int threads_for_labels = parallel::threads_worth(threads, labels.count());
    if (width < kMinCellWidth * columns.cells() || height < bands) {
        const WriteTargetLabel write{logits, winners, labels, rows, columns};
        parallel::for_each(images * height, threads_for_labels, [&](std::ptrdiff_t i) {
            for (int x = 0; x < width; ++x) write(static_cast<int>(i / height), static_cast<int>(i % height), x);
        });
        return;
    }

    fill(workspace.rows, rows);
    fill(workspace.columns, columns);
    parallel::for_each(images * bands, threads_for_labels, [&](std::ptrdiff_t i) {
        const std::ptrdiff_t n = i / bands;
        const auto top = static_cast<int>(rows.first + i % bands);
        const int begin = workspace.rows.begin[top];
        write_band({.logits = logits.at(n),
                    .plane = plane,
                    .classes = logits.size[1],
                    .winners = winners.at(n),
                    .top = top,
                    .bottom = std::min(top + 1, rows.last),
                    .first = columns.first,
                    .last = columns.last,
                    .source_width = source_width,
                    .weight_y = workspace.rows.weight + begin,
                    .rows = workspace.rows.begin[top + 1] - begin,
                    .columns = workspace.columns,
                    .labels = labels.at(n, begin),
                    .width = width});
    });
}

}  // namespace edgeseg::upsample_argmax
