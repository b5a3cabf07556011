#pragma once

#include <cstddef>
#include <cstdint>

#include "convert/op.h"
#include "dense_crf/op.h"
#include "parallel/stream.h"
#include "parallel/view.h"

/// From a network's logits to labels that follow the picture's edges, on the GPU alone: bilinear upsampling and
/// softmax, then mean-field inference in the dense CRF. The host reads nothing back.
namespace edgeseg::refine {

struct Params {
    const void* logits = nullptr;  // (N, C, h, w)
    convert::Real logits_type = convert::Real::kFloat;
    int logits_size[4] = {};
    const void* image = nullptr;  // (N, H, W, 3) RGB of 0..255
    convert::Real image_type = convert::Real::kFloat;
    int height = 0, width = 0;  // H and W
    // Terms, compatibility, iterations and quality; its views are not looked at. Halves as logits are stored as halves.
    dense_crf::Params crf;
    // What is written; null where it is not wanted.
    void* labels = nullptr;              // (N, H, W) class indices, in the type of the image
    parallel::View<float, 4> marginals;  // (N, C, H, W)
};

/// The parameters of the dense CRF for one image; its views have sizes and no data.
dense_crf::Params crf_of_one_image(const Params& params);

/// The size of the device memory of a run with at most `vertices` vertices in any lattice, aligned to 64 bytes. It does
/// not depend on N, and is no smaller for larger images.
std::size_t workspace_bytes(const Params& params, int vertices);

/// All pointers in device memory but those to the terms. Allocates nothing and waits for nothing. An image with more
/// than `vertices` vertices in some lattice is left as the network has it: labels are the most probable classes and
/// marginals the probabilities. Throws std::runtime_error where a launch fails.
void run_cuda(const Params& params, void* workspace, int vertices, parallel::CudaStream stream);

}  // namespace edgeseg::refine
