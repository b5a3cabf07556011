#pragma once

#include <cmath>
#include <cstdint>

#include "overlay/op.h"
#include "parallel/host_device.h"

namespace edgeseg::overlay {

/// Opacity in units of 1 / 2^14: products with a difference of bytes are 16 x 16 bit, which every CPU has in packs, and
/// the result is within 0.51 of the exact blend.
inline constexpr int kOpacityBits = 14;

inline std::int16_t fixed_opacity(float opacity) {
    return static_cast<std::int16_t>(std::lround(opacity * (1 << kOpacityBits)));
}

/// image * (1 - opacity) + color * opacity, rounded.
EDGESEG_HOST_DEVICE std::uint8_t blend(std::uint8_t image, std::uint8_t color, std::int16_t opacity) {
    const auto difference = static_cast<std::int16_t>(color - image);
    const int change = (difference * opacity + (1 << (kOpacityBits - 1))) >> kOpacityBits;
    return static_cast<std::uint8_t>(image + change);
}

}  // namespace edgeseg::overlay
