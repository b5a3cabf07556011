#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>

#include "parallel/host_device.h"

/// Rows of classes in device memory, padded with zeros and handled four classes, a quad, at a time.
namespace edgeseg::dense_crf::gpu {

EDGESEG_HOST_DEVICE float4 operator+(const float4& a, const float4& b) {
    return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

EDGESEG_HOST_DEVICE float4 operator*(float a, const float4& b) {
    return {a * b.x, a * b.y, a * b.z, a * b.w};
}

EDGESEG_HOST_DEVICE float4 operator-(const float4& a, float b) {
    return {a.x - b, a.y - b, a.z - b, a.w - b};
}

__device__ __forceinline__ float4 to_floats(const uint2& halves) {
    const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&halves.x));
    const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&halves.y));
    return {low.x, low.y, high.x, high.y};
}

__device__ __forceinline__ float4 load_quad(const float* from, std::ptrdiff_t quad) {
    return reinterpret_cast<const float4*>(from)[quad];
}

__device__ __forceinline__ float4 load_quad(const __half* from, std::ptrdiff_t quad) {
    return to_floats(reinterpret_cast<const uint2*>(from)[quad]);
}

__device__ __forceinline__ void store_quad(const float4& value, float* to, std::ptrdiff_t quad) {
    reinterpret_cast<float4*>(to)[quad] = value;
}

__device__ __forceinline__ void store_quad(const float4& value, __half* to, std::ptrdiff_t quad) {
    const __half2 halves[2] = {__floats2half2_rn(value.x, value.y), __floats2half2_rn(value.z, value.w)};
    reinterpret_cast<uint2*>(to)[quad] = *reinterpret_cast<const uint2*>(halves);
}

/// How a row lies over the threads that hold it: some lanes with some quads each.
struct RowShape {
    int lanes;       // 1, 2, 4 or 8
    int lane_quads;  // 1..6 or 8, what kernels are compiled for

    explicit RowShape(int classes) : lanes(1) {
        const int quads = (classes + 3) / 4;
        while (quads > 8 * lanes) lanes *= 2;
        lane_quads = (quads + lanes - 1) / lanes;
        if (lane_quads == 7) lane_quads = 8;
    }

    int quads() const { return lanes * lane_quads; }
    int stride() const { return 4 * quads(); }
};

/// One lane's part of a row whose values lie in memory as T.
template <int kQuads, class T>
struct LaneRow {
    float4 part[kQuads] = {};

    /// Quads that are neighbours in memory: 128 bits where the row has them.
    static constexpr int kTogether = sizeof(T) == 2 && kQuads % 2 == 0 ? 2 : 1;

    /// Which quad of the row part i of a lane is.
    __device__ static __forceinline__ int quad(int i, int lane, int lanes) {
        return (i / kTogether * lanes + lane) * kTogether + i % kTogether;
    }

    /// + weight * the row at `from`.
    __device__ __forceinline__ void add(float weight, const T* __restrict__ from, int lane, int lanes) {
#pragma unroll
        for (int i = 0; i < kQuads; i += kTogether) {
            if constexpr (kTogether == 2) {
                const uint4 halves = reinterpret_cast<const uint4*>(from)[quad(i, lane, lanes) / 2];
                part[i] = part[i] + weight * to_floats({halves.x, halves.y});
                part[i + 1] = part[i + 1] + weight * to_floats({halves.z, halves.w});
            } else {
                part[i] = part[i] + weight * load_quad(from, quad(i, lane, lanes));
            }
        }
    }
};

}  // namespace edgeseg::dense_crf::gpu
