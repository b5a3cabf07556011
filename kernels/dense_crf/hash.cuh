#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "parallel/host_device.h"

/// Tables from lattice keys to slots, of a block in shared memory and of a lattice in device memory.
namespace edgeseg::dense_crf::gpu {

using Key = unsigned long long;  // what atomics know; the same bits as a KeySpace's

inline constexpr Key kNoKey = ~Key{0};

EDGESEG_HOST_DEVICE std::uint32_t home_of(Key key, std::uint32_t mask) {
    return static_cast<std::uint32_t>((key * 0x9E3779B97F4A7C15u) >> 32) & mask;
}

/// The slot of a key in a table that has room for it.
__device__ __forceinline__ std::uint32_t insert_key(Key* keys, std::uint32_t mask, Key key) {
    for (std::uint32_t slot = home_of(key, mask);; slot = (slot + 1) & mask) {
        Key found = *const_cast<volatile Key*>(keys + slot);
        if (found == kNoKey) found = atomicCAS(keys + slot, kNoKey, key);
        if (found == kNoKey || found == key) return slot;
    }
}

/// The vertices of a lattice.
struct VertexTable {
    static constexpr int kAbsent = -1;

    Key* keys;                 // (slots): a power of two, at least twice the capacity
    std::uint32_t* vertex_of;  // (slots)
    std::uint32_t* slot_of;    // (capacity), of each vertex
    std::uint32_t* vertices;   // how many there are
    int* overflow;             // set where there is no room for more
    std::uint32_t mask;        // slots - 1
    std::uint32_t capacity;

    /// The slot of a key, which is given a vertex where it is new. After an overflow slots mean nothing.
    __device__ std::uint32_t insert(Key key) const {
        constexpr std::uint32_t kPatience = 32;  // probes, after which the table may be full, having overflowed
        std::uint32_t slot = home_of(key, mask);
        for (std::uint32_t probe = 1;; ++probe, slot = (slot + 1) & mask) {
            Key found = *const_cast<volatile Key*>(keys + slot);
            if (found == kNoKey) {
                found = atomicCAS(keys + slot, kNoKey, key);
                if (found == kNoKey) break;
            }
            if (found == key) return slot;
            if (probe % kPatience == 0 && *const_cast<volatile int*>(overflow)) return slot;
        }
        const std::uint32_t vertex = atomicAdd(vertices, 1u);
        if (vertex >= capacity) {
            *overflow = 1;
            return slot;
        }
        vertex_of[slot] = vertex;
        slot_of[vertex] = slot;
        return slot;
    }

    /// The vertex of a key, or kAbsent; only once all insertions are done, without overflow.
    __device__ __forceinline__ int find(Key key) const {
        for (std::uint32_t slot = home_of(key, mask);; slot = (slot + 1) & mask) {
            const Key found = keys[slot];
            if (found == key) return static_cast<int>(vertex_of[slot]);
            if (found == kNoKey) return kAbsent;
        }
    }
};

}  // namespace edgeseg::dense_crf::gpu
