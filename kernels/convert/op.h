#pragma once

#include <cstdint>

#include "parallel/stream.h"
#include "parallel/view.h"

/// Between the number formats of an inference engine and those of the kernels, in device memory.
namespace edgeseg::convert {

enum class Real : std::uint8_t { kFloat, kHalf };

/// All write `to`; `from` has as many values. Throw std::runtime_error where a launch fails.
void to_floats(const void* from, Real type, const parallel::View<float, 3>& to, parallel::CudaStream stream);

/// To the nearest, values beyond 0..255 to its ends.
void to_bytes(const void* from, Real type, const parallel::View<std::uint8_t, 3>& to, parallel::CudaStream stream);

void from_bytes(const parallel::View<std::uint8_t, 3>& from, void* to, Real type, parallel::CudaStream stream);

}  // namespace edgeseg::convert
