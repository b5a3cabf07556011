#pragma once

#include <cmath>
#include <cstdint>

#include "parallel/host_device.h"
#include "parallel/view.h"
#include "upsample_argmax/op_body.h"

/// The arithmetic around the dense CRF, for one pixel.
namespace edgeseg::refine {

/// One pixel of `probabilities`: the softmax of logits between source pixels, placed as upsample_argmax places them.
struct WriteProbabilities {
    parallel::View<const float, 3> logits;   // (C, h, w)
    parallel::View<float, 4> probabilities;  // (1, C, H, W)

    EDGESEG_HOST_DEVICE void operator()(int n, int y, int x) const {
        const auto row = upsample_argmax::tap_at(y, logits.size[1], probabilities.size[2]);
        const auto column = upsample_argmax::tap_at(x, logits.size[2], probabilities.size[3]);
        const upsample_argmax::Corners at(row.low, row.high, column.low, column.high, logits.size[2]);
        const auto logit = [&](int c) {
            const float* plane = logits.at(c);
            return upsample_argmax::interpolate(
                upsample_argmax::interpolate(plane[at.top_left], plane[at.top_right], column.weight),
                upsample_argmax::interpolate(plane[at.bottom_left], plane[at.bottom_right], column.weight), row.weight);
        };
        // Interpolating three times is cheaper than writing logits to memory and reading them back.
        const int classes = logits.size[0];
        float most = logit(0);
        for (int c = 1; c < classes; ++c) most = fmaxf(most, logit(c));
        float sum = 0;
        for (int c = 0; c < classes; ++c) sum += expf(logit(c) - most);
        for (int c = 0; c < classes; ++c) *probabilities.at(n, c, y, x) = expf(logit(c) - most) / sum;
    }
};

/// One pixel of an image whose lattice has overflowed: what the network says stands.
struct KeepOnOverflow {
    const int* overflow;
    parallel::View<const float, 4> probabilities;  // (1, C, H, W)
    parallel::View<std::uint8_t, 3> labels;        // (1, H, W), or null
    parallel::View<float, 4> marginals;            // (1, C, H, W), or null

    EDGESEG_HOST_DEVICE void operator()(int n, int y, int x) const {
        if (!*overflow) return;
        upsample_argmax::Lead<float, int> lead;
        for (int c = 0; c < probabilities.size[1]; ++c) {
            const float probability = *probabilities.at(n, c, y, x);
            lead.offer(probability, c);
            if (marginals.data) *marginals.at(n, c, y, x) = probability;
        }
        if (labels.data) *labels.at(n, y, x) = static_cast<std::uint8_t>(lead.label);
    }
};

}  // namespace edgeseg::refine
