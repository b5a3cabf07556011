#include <cuda_runtime.h>

#include <cstdio>
#include <vector>

#include "bench/bench.h"
#include "bench/device.h"

namespace edgeseg::bench {
namespace {

template <int kRank>
std::ptrdiff_t count_different(const parallel::View<std::uint8_t, kRank>& host,
                               const Device<std::uint8_t, kRank>& device) {
    std::vector<std::uint8_t> copy(static_cast<std::size_t>(host.count()));
    device.copy_to(copy.data());
    std::ptrdiff_t different = 0;
    for (std::size_t i = 0; i < copy.size(); ++i) different += copy[i] != host.data[i];
    return different;
}

}  // namespace

bool has_device() {
    int devices = 0;
    return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
}

std::ptrdiff_t run_cuda(const Case& frame) {
    std::vector<std::uint8_t> scratch(upsample_argmax::workspace_bytes(frame.upsample));
    const Device workspace(parallel::View<std::uint8_t, 1>{scratch.data(), {static_cast<int>(scratch.size())}});
    const Device logits(frame.upsample.logits);
    const Device labels(frame.upsample.labels);
    const Device image(frame.overlay.image);
    const Device colors(frame.overlay.colors);
    const Device picture(frame.overlay.out);
    check(cudaMemset(labels.view.data, 255, static_cast<std::size_t>(labels.view.count())));
    check(cudaMemset(picture.view.data, 0, static_cast<std::size_t>(picture.view.count())));

    const upsample_argmax::Params upsample{logits.view, labels.view};
    const overlay::Params blend{image.view,
                                {labels.view.data, {labels.view.size[1], labels.view.size[2]}},
                                colors.view,
                                frame.overlay.opacity,
                                picture.view};
    const double upsample_us = median_us([&] {
        upsample_argmax::run_cuda(upsample, workspace.view.data, nullptr);
        check(cudaDeviceSynchronize());
    });
    const double overlay_us = median_us([&] {
        overlay::run_cuda(blend, nullptr);
        check(cudaDeviceSynchronize());
    });
    const std::ptrdiff_t different_labels = count_different(frame.upsample.labels, labels);
    const std::ptrdiff_t different_bytes = count_different(frame.overlay.out, picture);
    std::printf(
        "  CUDA:            upsample_argmax %8.1f us, overlay %8.1f us; %td labels and %td bytes unlike the CPU's\n",
        upsample_us, overlay_us, different_labels, different_bytes);
    return different_labels + different_bytes;
}

}  // namespace edgeseg::bench
