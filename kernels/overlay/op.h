#pragma once

#include <cstdint>

#include "parallel/stream.h"
#include "parallel/view.h"

/// The picture people look at: the colour of each pixel's class laid over the image.
namespace edgeseg::overlay {

/// Pixels with this label keep the image as it is.
inline constexpr int kIgnore = 255;

struct Params {
    parallel::View<const std::uint8_t, 3> image;   // (H, W, 3)
    parallel::View<const std::uint8_t, 2> labels;  // (H, W)
    parallel::View<const std::uint8_t, 2> colors;  // (256, 3)
    float opacity;                                 // 0 (image) .. 1 (colours)
    parallel::View<std::uint8_t, 3> out;           // (H, W, 3), written; may be the image
};

void run_cpu(const Params& params, int threads);

/// All pointers in device memory. Throws std::runtime_error where the launch fails.
void run_cuda(const Params& params, parallel::CudaStream stream);

}  // namespace edgeseg::overlay
