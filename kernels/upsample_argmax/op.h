#pragma once

#include <cstddef>
#include <cstdint>

#include "parallel/stream.h"
#include "parallel/view.h"

/// Labels from logits in one step: bilinear interpolation to the target size, then the argmax over the classes, without
/// the full-resolution logits in between.
namespace edgeseg::upsample_argmax {

/// The most pixels along either side of source or target: positions between pixels are exact in 32 bits up to there.
inline constexpr int kMaxSide = 32767;
inline constexpr int kMaxClasses = 255;

/// Into no more parts than these may an axis of the logits be counted.
inline constexpr int kMaxWhole = 1 << 20;

/// The stretch of an axis that the labels are of: from `begin` to `end` of `whole` equal parts of it, 0 <= begin < end
/// <= whole. The parts are pixels of the picture that the network saw, say, where a border of it is left out.
struct Span {
    int begin = 0;
    int end = 1;
    int whole = 1;
};

struct Params {
    parallel::View<const float, 4> logits;   // (N, C, h, w)
    parallel::View<std::uint8_t, 3> labels;  // (N, H, W), written
    Span rows = {}, columns = {};            // of the logits
};

/// The size of the scratch memory that either run needs, aligned as by malloc.
std::size_t workspace_bytes(const Params& params);

void run_cpu(const Params& params, void* workspace, int threads);

/// All pointers in device memory. Throws std::runtime_error where a launch fails.
void run_cuda(const Params& params, void* workspace, parallel::CudaStream stream);

}  // namespace edgeseg::upsample_argmax
