#pragma once

#include <cstring>

#include "parallel/host_device.h"

/// Values of several neighbouring pixels that go through a body together. A body is a template over the type of its
/// values: the GPU runs it with float, one pixel a thread, the CPU with Float4, one pixel a lane.

namespace edgeseg::parallel {

#if !defined(__CUDACC__)

// 128 bits, the width that every x86-64 and aarch64 CPU has: one binary that needs no choosing at run time. GCC turns
// wider ones into scalar code where the CPU lacks them.
using Float4 = float __attribute__((vector_size(16)));
using Int4 = int __attribute__((vector_size(16)));
using Byte4 = unsigned char __attribute__((vector_size(4)));

#endif

/// Reads a pack, or a plain value, from memory of any alignment.
template <class Pack, class T>
EDGESEG_HOST_DEVICE Pack load(const T* from) {
    Pack pack;
    memcpy(&pack, from, sizeof(Pack));
    return pack;
}

}  // namespace edgeseg::parallel
