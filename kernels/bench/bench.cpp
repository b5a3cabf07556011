/// Times the kernels on frames like those of a street, without Python. Exits with 1 where CUDA and CPU disagree.

#include "bench/bench.h"

#include <cmath>
#include <cstdio>

#include "parallel/thread_pool.h"

namespace {

using namespace edgeseg;

/// Smooth fields, whose winners make regions with borders between them as a network's do.
std::vector<float> smooth_logits(int classes, int height, int width) {
    std::vector<float> logits;
    for (int c = 0; c < classes; ++c) {
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                const float across = 9.0f * static_cast<float>(x) / static_cast<float>(width);
                const float down = 7.0f * static_cast<float>(y) / static_cast<float>(height);
                const auto phase = static_cast<float>(c);
                logits.push_back(4.0f * std::sin(across + 1.7f * phase) * std::cos(down - 2.3f * phase));
            }
        }
    }
    return logits;
}

std::ptrdiff_t run(int classes, int stride, int height, int width) {
    const int source_height = (height + stride - 1) / stride;
    const int source_width = (width + stride - 1) / stride;
    const auto pixels = static_cast<std::size_t>(height) * width;
    const std::vector<float> logits = smooth_logits(classes, source_height, source_width);
    const std::vector<std::uint8_t> image(3 * pixels, 100);
    std::vector<std::uint8_t> colors(3 * 256);
    for (std::size_t i = 0; i < colors.size(); ++i) colors[i] = static_cast<std::uint8_t>(37 * i);
    std::vector<std::uint8_t> labels(pixels);
    std::vector<std::uint8_t> picture(3 * pixels);

    const bench::Case frame{
        {{logits.data(), {1, classes, source_height, source_width}}, {labels.data(), {1, height, width}}},
        {{image.data(), {height, width, 3}},
         {labels.data(), {height, width}},
         {colors.data(), {256, 3}},
         0.4f,
         {picture.data(), {height, width, 3}}}};
    std::vector<std::byte> workspace(upsample_argmax::workspace_bytes(frame.upsample));

    std::printf("%d classes, stride %d, %dx%d\n", classes, stride, height, width);
    for (const int threads : {1, parallel::thread_count(0)}) {
        const double upsample_us =
            bench::median_us([&] { upsample_argmax::run_cpu(frame.upsample, workspace.data(), threads); });
        const double overlay_us = bench::median_us([&] { overlay::run_cpu(frame.overlay, threads); });
        std::printf("  CPU, %2d threads: upsample_argmax %8.1f us, overlay %8.1f us\n", threads, upsample_us,
                    overlay_us);
    }
#if defined(EDGESEG_HAS_CUDA)
    return bench::run_cuda(frame);
#else
    return 0;
#endif
}

}  // namespace

int main() {
    std::ptrdiff_t different = 0;
    different += run(11, 8, 360, 480);
    different += run(19, 8, 1080, 1920);
    different += run(19, 2, 512, 1024);
    return different == 0 ? 0 : 1;
}
