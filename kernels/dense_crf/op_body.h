#pragma once

#include <cmath>
#include <cstdint>

#include "dense_crf/op.h"
#include "parallel/host_device.h"

/// The geometry of the permutohedral lattice in five dimensions (Adams, Baek, Davis 2010), for one point (Real = float,
/// Int = int) or a pack of them.
namespace edgeseg::dense_crf {

inline constexpr int kFeatures = 5;             // x, y, and three colour channels, in sigmas
inline constexpr int kCorners = kFeatures + 1;  // of a simplex; also the number of axes along which the lattice blurs

/// Numbers lattice vertices: five coordinates side by side in 64 bits. All arithmetic on vertices is done on keys.
struct KeySpace {
    float scale[kFeatures];       // from features to the coordinates of the lattice's hyperplane
    std::int64_t unit[kCorners];  // what one step along a coordinate adds; the sixth coordinate is implied
    std::int64_t all;             // one step along every coordinate
    std::int64_t origin;          // the key of coordinates 0: keeps all keys positive
    int bits;                     // of the largest key

    static constexpr int kMostBits = 62;
    bool fits() const { return bits <= kMostBits; }

    /// The key's change along blur axis 0..5.
    EDGESEG_HOST_DEVICE std::int64_t step(int axis) const { return all - kCorners * unit[axis]; }
};

/// Features run from 0 to `most` (five values). Where they run too far to be numbered, the space does not fit and is
/// good for nothing else. Host only.
inline KeySpace key_space(const float* most) {
    KeySpace space = {};
    float reach[kFeatures];
    for (int i = 0; i < kFeatures; ++i) {
        space.scale[i] = std::sqrt(2.0f / 3.0f) * kCorners / std::sqrt((i + 1.0f) * (i + 2.0f));
        reach[i] = most[i] * space.scale[i];
    }
    constexpr int kMargin = 4 * kCorners;  // rounding, the corners of the outermost simplices and their neighbours
    for (int i = 0; i < kFeatures; ++i) {
        // Coordinate i is (sum of the scaled features i, i + 1, ...) - i * (scaled feature i - 1).
        float high = 0;
        for (int j = i; j < kFeatures; ++j) high += reach[j];
        const float low = i == 0 ? 0.0f : i * reach[i - 1];
        const int shift = space.bits;
        do {
            ++space.bits;
        } while (space.fits() && std::ldexp(1.0f, space.bits - shift) <= low + high + 2 * kMargin);
        if (!space.fits()) return space;
        space.unit[i] = std::int64_t{1} << shift;
        space.all += space.unit[i];
        space.origin += static_cast<std::int64_t>(std::ceil(low) + kMargin) * space.unit[i];
    }
    return space;
}

/// The simplex that holds a point.
template <class Real, class Int>
struct Simplex {
    Int origin[kCorners];   // coordinates of its corner of remainder 0
    Int rank[kCorners];     // of each coordinate of the point within the simplex, 0 the largest
    Real weight[kCorners];  // barycentric, of the corner of each remainder
};

/// One point a time, as on a GPU. Conditions are -1 where true and else 0, as they are in each lane of a pack.
struct Scalar {
    using Real = float;
    using Int = int;
    static EDGESEG_HOST_DEVICE int floor(float value) { return static_cast<int>(floorf(value)); }
    static EDGESEG_HOST_DEVICE float real(int value) { return static_cast<float>(value); }
    static EDGESEG_HOST_DEVICE int less(float a, float b) { return -static_cast<int>(a < b); }
    static EDGESEG_HOST_DEVICE int less(int a, int b) { return -static_cast<int>(a < b); }
    static EDGESEG_HOST_DEVICE float where(int condition, float value) { return condition ? value : 0.0f; }
};

/// `features` are in sigmas; `Pack` is Scalar or the like for several points.
template <class Pack>
EDGESEG_HOST_DEVICE auto simplex_of(const typename Pack::Real* features, const KeySpace& space) {
    using Real = typename Pack::Real;
    using Int = typename Pack::Int;

    // Onto the hyperplane of coordinates that sum to zero.
    Real elevated[kCorners];
    Real sum = Real{};
    for (int i = kFeatures; i > 0; --i) {
        const Real scaled = features[i - 1] * space.scale[i - 1];
        elevated[i] = sum - scaled * static_cast<float>(i);
        sum += scaled;
    }
    elevated[0] = sum;

    // The nearest lattice point of remainder 0 in each coordinate; they may not sum to zero yet.
    Simplex<Real, Int> simplex;
    Int excess = Int{};
    Real offset[kCorners];
    for (int i = 0; i < kCorners; ++i) {
        const Int cell = Pack::floor(elevated[i] * (1.0f / kCorners) + 0.5f);
        simplex.origin[i] = cell * kCorners;
        simplex.rank[i] = Int{};
        excess += cell;
        offset[i] = elevated[i] - Pack::real(simplex.origin[i]);
    }
    for (int i = 0; i < kCorners; ++i) {
        for (int j = i + 1; j < kCorners; ++j) {
            const Int is_less = Pack::less(offset[i], offset[j]);
            simplex.rank[i] -= is_less;
            simplex.rank[j] += is_less + 1;
        }
    }
    for (int i = 0; i < kCorners; ++i) {
        const Int rank = simplex.rank[i] + excess;
        const Int wrap = Pack::less(Int{} + kFeatures, rank) - Pack::less(rank, Int{});
        simplex.rank[i] = rank + wrap * kCorners;
        simplex.origin[i] += wrap * kCorners;
        offset[i] = (elevated[i] - Pack::real(simplex.origin[i])) * (1.0f / kCorners);
    }

    // Barycentric weights are the differences of neighbouring offsets in order of rank.
    Real sorted[kCorners];
    for (int k = 0; k < kCorners; ++k) {
        sorted[k] = Real{};
        for (int i = 0; i < kCorners; ++i) sorted[k] += Pack::where(simplex.rank[i] == k, offset[i]);
    }
    simplex.weight[0] = sorted[kFeatures] + 1.0f - sorted[0];
    for (int k = 1; k < kCorners; ++k) simplex.weight[k] = sorted[kFeatures - k] - sorted[kCorners - k];
    return simplex;
}

/// The keys of a simplex's corners in order of remainder.
EDGESEG_HOST_DEVICE void corner_keys(const KeySpace& space, const int* origin, const int* rank, std::int64_t* keys) {
    std::int64_t unit_of_rank[kCorners];
    std::int64_t key = space.origin;
    for (int i = 0; i < kCorners; ++i) {
        key += origin[i] * space.unit[i];
        unit_of_rank[rank[i]] = space.unit[i];
    }
    keys[0] = key;
    for (int k = 1; k < kCorners; ++k) {
        key += space.all - kCorners * unit_of_rank[kCorners - k];
        keys[k] = key;
    }
}

}  // namespace edgeseg::dense_crf
