#pragma once

#include <cmath>
#include <cstdint>
#include <numeric>

#include "parallel/host_device.h"
#include "parallel/pack.h"
#include "upsample_argmax/op.h"

/// The arithmetic, for one pixel (Real = float, Label = int) or a pack of them (Float4, Int4).
///
/// Interpolation is a convex combination of the four source pixels around a cell of target pixels. Where one class
/// wins at all four, it wins in the whole cell: most of a street needs no arithmetic once the winner of each source
/// pixel is known.
namespace edgeseg::upsample_argmax {

/// A target coordinate between two source coordinates: low * (1 - weight) + high * weight.
struct Tap {
    int low;
    int high;
    float weight;
};

/// The tap at `position`, in units that make it an integer, not outside of the source coordinates first..last.
template <class Whole>
EDGESEG_HOST_DEVICE Tap tap_of(Whole position, Whole unit, int first, int last) {
    const int low = static_cast<int>(position / unit);
    const int after_first = first < last ? first + 1 : last;
    if (low < first) return {first, after_first, 0.0f};
    const float weight = static_cast<float>(position % unit) / static_cast<float>(unit);
    return low < last ? Tap{low, low + 1, weight} : Tap{last, last, weight};
}

/// The tap of target coordinate i with pixel centres at halves (align_corners=False): (i + 0.5) * source / target -
/// 0.5, not below 0, in units of 1 / (2 * target), which make it an integer.
EDGESEG_HOST_DEVICE Tap tap_at(int i, int source, int target) {
    const unsigned centre = (2u * i + 1u) * source;
    const unsigned position = centre > static_cast<unsigned>(target) ? centre - target : 0u;
    return tap_of(position, 2u * target, 0, source - 1);
}

/// An axis of which the target covers a span. Source coordinates whose centres lie outside of the span are not read:
/// at its ends the first and the last within are held, as at the ends of the whole axis.
///
/// The centre of target coordinate i lies (2i + 1) / (2 * target) along the span, so begin + that * (end - begin) of
/// `whole` parts, and the centre of source coordinate k at (k + 0.5) / source of the axis: i lies at
///
///     source * (begin + (2i + 1) * (end - begin) / (2 * target)) / whole - 0.5
///
/// from one source coordinate to the next, an integer in units of 1 / (2 * target * whole).
struct Axis {
    int source, target;
    Span span;  // in its lowest terms
    int first, last;
    bool is_short;  // positions fit into 32 bits, which a GPU divides much faster

    Axis(int source_, int target_, Span span_) : source(source_), target(target_), span(span_) {
        const int divisor = std::gcd(std::gcd(span.begin, span.end), span.whole);
        span = {span.begin / divisor, span.end / divisor, span.whole / divisor};
        const std::int64_t whole = span.whole;
        first = static_cast<int>((2 * std::int64_t{source} * span.begin + whole - 1) / (2 * whole));
        last = static_cast<int>((2 * std::int64_t{source} * span.end + whole) / (2 * whole)) - 1;
        if (first > last) {  // the span lies between two centres
            first = last = static_cast<int>(std::int64_t{source} * (span.begin + span.end) / (2 * whole));
        }
        is_short = 2 * std::int64_t{source} * target * whole <= UINT32_MAX;
    }

    EDGESEG_HOST_DEVICE int cells() const { return last - first + 1; }

    EDGESEG_HOST_DEVICE Tap tap_at(int i) const { return is_short ? tap<std::uint32_t>(i) : tap<std::uint64_t>(i); }

  private:
    template <class Whole>
    EDGESEG_HOST_DEVICE Tap tap(int i) const {
        const Whole along = 2 * Whole(span.begin) * target + (2 * Whole(i) + 1) * (span.end - span.begin);
        const Whole centre = along * source, half = Whole(target) * span.whole;
        return tap_of<Whole>(centre > half ? centre - half : 0, 2 * half, first, last);
    }
};

/// Monotone in a and b, rounding included; a + (b - a) * weight is not.
template <class Value, class Weight>
EDGESEG_HOST_DEVICE auto interpolate(const Value& a, const Value& b, const Weight& weight) {
    return a * (1.0f - weight) + b * weight;
}

/// The class that leads so far. Offer classes in ascending order: of equals the first wins, and NaN never does.
template <class Real, class Label>
struct Lead {
    Real value = Real{} - INFINITY;
    Label label = Label{};

    EDGESEG_HOST_DEVICE void offer(const Real& other, int other_label) {
        const auto better = other > value;
        value = better ? other : value;
        label = better ? Label{} + other_label : label;
    }
};

/// The winning class of source pixels, `classes` planes of `plane` logits from `logits` on.
template <class Real, class Label>
EDGESEG_HOST_DEVICE Label source_winner(const float* logits, std::ptrdiff_t plane, int classes) {
    Lead<Real, Label> lead;
    for (int c = 0; c < classes; ++c) lead.offer(parallel::load<Real>(logits + c * plane), c);
    return lead.label;
}

/// The four source pixels around a cell, as offsets into the plane of any class.
struct Corners {
    std::ptrdiff_t top_left, top_right, bottom_left, bottom_right;

    EDGESEG_HOST_DEVICE Corners(int top, int bottom, int left, int right, int width)
        : top_left(static_cast<std::ptrdiff_t>(top) * width + left),
          top_right(static_cast<std::ptrdiff_t>(top) * width + right),
          bottom_left(static_cast<std::ptrdiff_t>(bottom) * width + left),
          bottom_right(static_cast<std::ptrdiff_t>(bottom) * width + right) {}

    EDGESEG_HOST_DEVICE bool agree(const std::uint8_t* winners) const {
        return winners[top_left] == winners[top_right] && winners[top_left] == winners[bottom_left] &&
               winners[top_left] == winners[bottom_right];
    }
};

/// Offers class c at kRows rows of target pixels in one cell.
template <int kRows, class Real, class Label>
EDGESEG_HOST_DEVICE void offer_in_cell(const float* plane, const Corners& at, int c, const Real& weight_x,
                                       const float* weight_y, Lead<Real, Label> (&lead)[kRows]) {
    const Real top = interpolate(plane[at.top_left], plane[at.top_right], weight_x);
    const Real bottom = interpolate(plane[at.bottom_left], plane[at.bottom_right], weight_x);
    for (int row = 0; row < kRows; ++row) lead[row].offer(interpolate(top, bottom, weight_y[row]), c);
}

/// One pixel of `winners`, the class that wins at each source pixel.
struct WriteSourceWinner {
    parallel::View<const float, 4> logits;
    parallel::View<std::uint8_t, 3> winners;  // (N, h, w)

    EDGESEG_HOST_DEVICE void operator()(int n, int y, int x) const {
        const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(logits.size[2]) * logits.size[3];
        *winners.at(n, y, x) =
            static_cast<std::uint8_t>(source_winner<float, int>(logits.at(n, 0, y, x), plane, logits.size[1]));
    }
};

/// One pixel of `labels`.
struct WriteTargetLabel {
    parallel::View<const float, 4> logits;
    parallel::View<std::uint8_t, 3> winners;
    parallel::View<std::uint8_t, 3> labels;
    Axis rows, columns;

    EDGESEG_HOST_DEVICE void operator()(int n, int y, int x) const {
        const Tap row = rows.tap_at(y);
        const Tap column = columns.tap_at(x);
        const Corners corners(row.low, row.high, column.low, column.high, logits.size[3]);
        int label = winners.at(n)[corners.top_left];
        if (!corners.agree(winners.at(n))) {
            Lead<float, int> lead[1];
            for (int c = 0; c < logits.size[1]; ++c) {
                offer_in_cell(logits.at(n, c), corners, c, column.weight, &row.weight, lead);
            }
            label = lead[0].label;
        }
        *labels.at(n, y, x) = static_cast<std::uint8_t>(label);
    }
};

}  // namespace edgeseg::upsample_argmax
