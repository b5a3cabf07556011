#pragma once

#include <cstddef>

#include "parallel/host_device.h"

namespace edgeseg::parallel {

/// A C-contiguous array that belongs to someone else, in host or device memory.
template <class T, int kRank>
struct View {
    T* data = nullptr;
    int size[kRank] = {};

    /// The address of one element, or of the first element of a sub-array where there are fewer indices than axes.
    template <class... Index>
    EDGESEG_HOST_DEVICE T* at(Index... index) const {
        static_assert(sizeof...(Index) <= kRank);
        std::ptrdiff_t offset = 0;
        int axis = 0;
        ((offset = offset * size[axis++] + index), ...);
        while (axis < kRank) offset *= size[axis++];
        return data + offset;
    }

    EDGESEG_HOST_DEVICE std::ptrdiff_t count() const {
        std::ptrdiff_t count = 1;
        for (int axis = 0; axis < kRank; ++axis) count *= size[axis];
        return count;
    }
};

}  // namespace edgeseg::parallel
