/// Times the kernels on frames like those of a street, without Python. Exits with 1 where CUDA and CPU disagree.
/// Arguments of the form HEIGHTxWIDTHxCLASSES take the place of the usual sizes.

#include "bench/bench.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "dense_crf/op.h"
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
    if (bench::has_device()) return bench::run_cuda(frame);
#endif
    return 0;
}

int run_dense_crf([[maybe_unused]] int classes, [[maybe_unused]] int height, [[maybe_unused]] int width) {
#if defined(EDGESEG_HAS_CUDA)
    if (bench::has_device()) return bench::run_dense_crf_cuda(classes, height, width);
#endif
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
#if defined(EDGESEG_HAS_CUDA)
    if (!bench::has_device()) std::printf("CUDA: no device\n");
#endif
    std::ptrdiff_t different = 0;
    for (int i = 1; i < argc; ++i) {
        int height = 0, width = 0, classes = 0;
        const int read = std::sscanf(argv[i], "%dx%dx%d", &height, &width, &classes);
        if (read != 3 || std::min(height, width) < 1 || std::max(height, width) > dense_crf::kMaxSide || classes < 2 ||
            classes > dense_crf::kMaxClasses) {
            std::fprintf(stderr, "usage: edgeseg_bench [HEIGHTxWIDTHxCLASSES]...\n");
            return 2;
        }
        different += run(classes, 8, height, width);
        different += run_dense_crf(classes, height, width);
    }
    if (argc == 1) {
        different += run(11, 8, 360, 480);
        different += run(19, 8, 1080, 1920);
        different += run(19, 2, 512, 1024);
        different += run_dense_crf(11, 360, 480);
        different += run_dense_crf(19, 1080, 1920);
        different += run_dense_crf(21, 361, 479);
    }
    return different == 0 ? 0 : 1;
}
