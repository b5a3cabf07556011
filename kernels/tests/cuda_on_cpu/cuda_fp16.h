#pragma once

#include <cmath>
#include <cstdint>

#include "cuda_runtime.h"

/// A stand-in for CUDA's header: conversion between floats and halves, for any but NaN.

struct __half {
    std::uint16_t bits;
};
struct alignas(4) __half2 {
    __half x, y;
};

inline float float_of(__half half) {
    const int exponent = half.bits >> 10 & 31, fraction = half.bits & 1023;
    const float magnitude = exponent == 31  ? INFINITY
                            : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                            : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    return half.bits >> 15 ? -magnitude : magnitude;
}

/// To the nearest, of two to the even one.
inline __half half_of(float value) {
    const float magnitude = std::fabs(value);
    int bits = 31 << 10;
    if (magnitude < 0x1p-14f) {
        bits = static_cast<int>(std::nearbyint(magnitude * 0x1p24f));
    } else if (magnitude < 65520) {
        const int exponent = std::ilogb(magnitude);
        // 1024 to 2048 steps of this exponent; their leading 1, and a carry, add to the exponent's field.
        const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
        bits = ((exponent + 14) << 10) + steps;
    }
    return {static_cast<std::uint16_t>(bits | (std::signbit(value) ? 1 << 15 : 0))};
}

inline float2 __half22float2(const __half2& halves) {
    return {float_of(halves.x), float_of(halves.y)};
}

inline __half2 __floats2half2_rn(float x, float y) {
    return {half_of(x), half_of(y)};
}

inline float __half2float(__half half) {
    return float_of(half);
}

inline __half __float2half_rn(float value) {
    return half_of(value);
}
