#include <cuda_fp16.h>

#include "dense_crf/op_cuda.h"
#include "parallel/for_each.cuh"
#include "refine/op.h"
#include "refine/op_body.h"

namespace edgeseg::refine {
namespace {

using convert::Real;
using parallel::View;

std::ptrdiff_t bytes_of(Real type) {
    return type == Real::kHalf ? sizeof(__half) : sizeof(float);
}

dense_crf::Storage storage_of(const Params& params) {
    return params.logits_type == Real::kHalf ? dense_crf::Storage::kHalf : dense_crf::Storage::kFloat;
}

/// What lies in device memory for the image at work.
struct Workspace {
    View<float, 3> logits;  // where they have to be converted
    View<float, 4> probabilities;
    View<std::uint8_t, 3> image;   // (H, W, 3)
    View<std::uint8_t, 3> labels;  // (1, H, W)
    void* crf = nullptr;
    std::size_t bytes = 0;

    Workspace(const Params& params, int vertices, void* memory) : memory_(static_cast<std::byte*>(memory)) {
        const int classes = params.logits_size[1];
        if (params.logits_type != Real::kFloat) {
            logits = {nullptr, {classes, params.logits_size[2], params.logits_size[3]}};
            logits.data = take<float>(logits.count());
        }
        probabilities = {nullptr, {1, classes, params.height, params.width}};
        probabilities.data = take<float>(probabilities.count());
        image = {nullptr, {params.height, params.width, 3}};
        image.data = take<std::uint8_t>(image.count());
        labels = {nullptr, {1, params.height, params.width}};
        labels.data = take<std::uint8_t>(labels.count());
        const std::size_t crf_bytes =
            dense_crf::workspace_bytes_cuda(crf_of_one_image(params), vertices, storage_of(params));
        crf = take<std::byte>(static_cast<std::ptrdiff_t>(crf_bytes));
    }

  private:
    template <class T>
    T* take(std::ptrdiff_t count) {
        T* part = memory_ ? reinterpret_cast<T*>(memory_ + bytes) : nullptr;
        bytes += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
        return part;
    }

    std::byte* memory_;
};

const void* image_at(const void* data, Real type, std::ptrdiff_t values) {
    return static_cast<const std::byte*>(data) + values * bytes_of(type);
}

}  // namespace

dense_crf::Params crf_of_one_image(const Params& params) {
    dense_crf::Params crf = params.crf;
    crf.probabilities = {nullptr, {1, params.logits_size[1], params.height, params.width}};
    crf.image = {nullptr, {1, params.height, params.width, 3}};
    crf.labels = {nullptr, {1, params.height, params.width}};
    crf.marginals = {nullptr, {1, params.logits_size[1], params.height, params.width}};
    return crf;
}

std::size_t workspace_bytes(const Params& params, int vertices) {
    return Workspace(params, vertices, nullptr).bytes;
}

void run_cuda(const Params& params, void* memory, int vertices, parallel::CudaStream stream) {
    const Workspace workspace(params, vertices, memory);
    const int height = params.height, width = params.width;
    const auto& [images, classes, source_height, source_width] = params.logits_size;
    const std::ptrdiff_t logits_an_image = static_cast<std::ptrdiff_t>(classes) * source_height * source_width;
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(height) * width;

    for (int n = 0; n < images; ++n) {
        const void* given = image_at(params.logits, params.logits_type, n * logits_an_image);
        if (workspace.logits.data) convert::to_floats(given, params.logits_type, workspace.logits, stream);
        const View<const float, 3> logits{
            workspace.logits.data ? workspace.logits.data : static_cast<const float*>(given),
            {classes, source_height, source_width}};
        parallel::for_each(1, height, width, stream, WriteProbabilities{logits, workspace.probabilities});
        convert::to_bytes(image_at(params.image, params.image_type, n * pixels * 3), params.image_type, workspace.image,
                          stream);

        dense_crf::Params crf = crf_of_one_image(params);
        crf.probabilities.data = workspace.probabilities.data;
        crf.image.data = workspace.image.data;
        if (params.labels) crf.labels.data = workspace.labels.data;
        if (params.marginals.data) crf.marginals.data = params.marginals.at(n);
        dense_crf::run_cuda(crf, workspace.crf, vertices, storage_of(params), stream);
        parallel::for_each(
            1, height, width, stream,
            KeepOnOverflow{dense_crf::overflow_flag(workspace.crf), crf.probabilities, crf.labels, crf.marginals});
        if (params.labels) {
            void* to = static_cast<std::byte*>(params.labels) + n * pixels * bytes_of(params.image_type);
            convert::from_bytes(workspace.labels, to, params.image_type, stream);
        }
    }
}

}  // namespace edgeseg::refine
