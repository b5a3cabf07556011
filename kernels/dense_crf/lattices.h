#pragma once

#include <algorithm>
#include <cmath>

#include "dense_crf/op.h"
#include "dense_crf/op_body.h"

/// Which lattices stand for a bilateral term: the same on CPU and GPU. Host only. All figures were fitted against exact
/// sums on street images.
namespace edgeseg::dense_crf {

inline constexpr int kMostLattices = 3;  // a term

inline int lattices_a_term(Quality quality) {
    return quality == Quality::kAccurate ? kMostLattices : 1;
}

/// The lattice's three-tap blur, with the linear interpolation on either side of it, makes a Gaussian that is wider
/// than was asked for. So it is asked for a narrower one. The fewer pixels share a cell, the more of a vertex's
/// neighbours are absent and the less the blur spreads: narrow terms are widened less.
inline float widening(const BilateralTerm& term, Quality quality) {
    const float most = quality == Quality::kAccurate ? 1.065f : 1.08f;
    const float octaves = 0.5f * std::log2(term.sigma_x * term.sigma_y) - std::log2(80.0f);
    return std::clamp(most + 0.025f * octaves, 1.0f, most);
}

/// How much of a term's colour sigma the pixels of one point may span.
inline float merged_share(Quality quality) {
    return quality == Quality::kAccurate ? 0.25f : 0.5f;
}

/// Lattices of a term lie apart by these parts of a cell, so that where one interpolates badly another does not.
inline float shift_of(int lattice, int feature) {
    constexpr float kShifts[kFeatures] = {0.5f, 0.25f, 0.125f, 0.375f, 0.1f};
    const float shift = static_cast<float>(lattice) * kShifts[feature];
    return shift - std::floor(shift);
}

/// What a pixel's x, y and colours are multiplied by, and the most that results, shift included.
inline void scale_features(const BilateralTerm& term, Quality quality, int height, int width, float* per_feature,
                           float* most) {
    const float wider = widening(term, quality);
    const float reach[kFeatures] = {static_cast<float>(width), static_cast<float>(height), 255, 255, 255};
    for (int i = 0; i < kFeatures; ++i) {
        const float sigma = i == 0 ? term.sigma_x : i == 1 ? term.sigma_y : term.sigma_color[i - 2];
        per_feature[i] = wider / sigma;
        most[i] = reach[i] * per_feature[i] + 1;
    }
}

/// The same for the images of `params`.
inline void scale_features(const Params& params, const BilateralTerm& term, float* per_feature, float* most) {
    scale_features(term, params.quality, params.image.size[1], params.image.size[2], per_feature, most);
}

}  // namespace edgeseg::dense_crf
