#pragma once

#include <cstdint>
#include <cstring>

#define EDGESEG_INLINE inline __attribute__((always_inline))

/// Registers of EDGESEG_LANES floats, and rows of several.
namespace edgeseg::dense_crf::EDGESEG_ISA {
namespace {

using Floats = float __attribute__((vector_size(4 * EDGESEG_LANES)));
using Ints = int __attribute__((vector_size(4 * EDGESEG_LANES)));
using Float4 = float __attribute__((vector_size(16)));

EDGESEG_INLINE Floats load(const float* from) {
    Floats floats;
    std::memcpy(&floats, from, sizeof floats);
    return floats;
}

EDGESEG_INLINE void store(Floats floats, float* to) {
    std::memcpy(to, &floats, sizeof floats);
}

EDGESEG_INLINE Floats max(Floats a, Floats b) {
    return a > b ? a : b;
}

template <class Combine>
EDGESEG_INLINE float reduce(Floats floats, const Combine& combine) {
    Float4 parts[EDGESEG_LANES / 4];
    std::memcpy(parts, &floats, sizeof floats);
    for (int half = EDGESEG_LANES / 8; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) parts[i] = combine(parts[i], parts[i + half]);
    }
    const Float4 a = combine(parts[0], __builtin_shufflevector(parts[0], parts[0], 2, 3, 0, 1));
    return combine(a, __builtin_shufflevector(a, a, 1, 0, 3, 2))[0];
}

/// e^x to 3e-7 of it; beyond -87 and 88 it stays what it is there.
EDGESEG_INLINE Floats exp(Floats x) {
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    x = x > -87.0f ? x : Floats{} - 87.0f;
    x = x < 88.0f ? x : Floats{} + 88.0f;
    const Floats turns = x * 1.44269504f;
    const Floats rounded = turns + kRound;
    const Floats rest = turns - (rounded - kRound);  // -0.5..0.5
    Floats power = rest * 1.3333558e-3f + 9.6181291e-3f;
    power = power * rest + 5.5504109e-2f;
    power = power * rest + 2.4022651e-1f;
    power = power * rest + 6.9314718e-1f;
    power = power * rest + 1.0f;
    Ints exponent, bits;
    std::memcpy(&exponent, &rounded, sizeof rounded);
    std::memcpy(&bits, &power, sizeof power);
    bits += exponent << 23;
    std::memcpy(&power, &bits, sizeof bits);
    return power;
}

/// The natural logarithm of normal positive numbers, to 2e-7 or as much of itself.
EDGESEG_INLINE Floats log(Floats x) {
    Ints bits;
    std::memcpy(&bits, &x, sizeof x);
    const Ints exponent = (bits - 0x3f3504f3) >> 23;  // so that the mantissa lies in sqrt(1/2)..sqrt(2)
    bits -= exponent << 23;
    std::memcpy(&x, &bits, sizeof x);
    const Floats f = x - 1.0f;
    Floats p = f * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    const Floats square = f * f;
    return f - square * 0.5f + square * f * p + __builtin_convertvector(exponent, Floats) * 0.693147181f;
}

/// A row of kRegisters registers.
template <int kRegisters>
struct Row {
    Floats part[kRegisters];

    static EDGESEG_INLINE Row zero() { return {}; }

    static EDGESEG_INLINE Row at(const float* from) {
        Row row;
        for (int i = 0; i < kRegisters; ++i) row.part[i] = load(from + i * EDGESEG_LANES);
        return row;
    }

    EDGESEG_INLINE void store_to(float* to) const {
        for (int i = 0; i < kRegisters; ++i) store(part[i], to + i * EDGESEG_LANES);
    }

    EDGESEG_INLINE void add(const Row& other) {
        for (int i = 0; i < kRegisters; ++i) part[i] += other.part[i];
    }

    /// + weight * the row at `from`.
    EDGESEG_INLINE void add(float weight, const float* from) {
        for (int i = 0; i < kRegisters; ++i) part[i] += load(from + i * EDGESEG_LANES) * weight;
    }

    EDGESEG_INLINE void add(float weight, const Row& other) {
        for (int i = 0; i < kRegisters; ++i) part[i] += other.part[i] * weight;
    }

    EDGESEG_INLINE Row times(float factor) const {
        Row row;
        for (int i = 0; i < kRegisters; ++i) row.part[i] = part[i] * factor;
        return row;
    }

    EDGESEG_INLINE float highest() const {
        Floats high = part[0];
        for (int i = 1; i < kRegisters; ++i) high = max(high, part[i]);
        return reduce(high, [](auto a, auto b) { return a > b ? a : b; });
    }

    /// The first of the highest values' places.
    EDGESEG_INLINE int first_highest() const {
        const float high = highest();
        Ints place;
        for (int lane = 0; lane < EDGESEG_LANES; ++lane) place[lane] = lane;
        Ints first = Ints{} + kRegisters * EDGESEG_LANES;
        for (int i = kRegisters - 1; i >= 0; --i) first = part[i] == high ? place + i * EDGESEG_LANES : first;
        return static_cast<int>(
            reduce(__builtin_convertvector(first, Floats), [](auto a, auto b) { return a < b ? a : b; }));
    }

    EDGESEG_INLINE float sum() const {
        Floats sum = part[0];
        for (int i = 1; i < kRegisters; ++i) sum += part[i];
        return reduce(sum, [](auto a, auto b) { return a + b; });
    }
};

}  // namespace
}  // namespace edgeseg::dense_crf::EDGESEG_ISA
