/// Runs upsample_argmax's CUDA driver on the CPU: its labels are those of the CPU's driver, to the bit, whatever part
/// of the logits they are of.

#include <cstdio>
#include <random>
#include <vector>

#include "upsample_argmax/op.h"

namespace {

using namespace edgeseg;
using upsample_argmax::Span;

std::mt19937 generator(3);

int pick(int least, int most) {
    return std::uniform_int_distribution(least, most)(generator);
}

Span pick_span() {
    const int whole = pick(0, 3) ? pick(1, 60) : pick(upsample_argmax::kMaxWhole - 60, upsample_argmax::kMaxWhole);
    const int begin = pick(0, whole - 1);
    return {begin, pick(begin + 1, whole), whole};
}

bool agree(int classes, int h, int w, int height, int width, Span rows, Span columns) {
    std::vector<float> logits(static_cast<std::size_t>(2 * classes * h * w));
    for (float& value : logits) value = static_cast<float>(pick(0, 4));  // ties among them
    std::vector<std::uint8_t> on_cpu(static_cast<std::size_t>(2 * height * width), 99), on_gpu(on_cpu);
    upsample_argmax::Params params{
        {logits.data(), {2, classes, h, w}}, {on_cpu.data(), {2, height, width}}, rows, columns};
    std::vector<std::byte> workspace(upsample_argmax::workspace_bytes(params));
    upsample_argmax::run_cpu(params, workspace.data(), 1);
    params.labels.data = on_gpu.data();
    upsample_argmax::run_cuda(params, workspace.data(), nullptr);
    return on_cpu == on_gpu;
}

}  // namespace

int main() {
    int failures = 0;
    for (int i = 0; i < 400; ++i) {
        const int classes = pick(1, 6), h = pick(1, 9), w = pick(1, 9), height = pick(1, 50), width = pick(1, 50);
        const Span rows = i % 4 ? pick_span() : Span{}, columns = i % 5 ? pick_span() : Span{};
        if (agree(classes, h, w, height, width, rows, columns)) continue;
        ++failures;
        std::printf("labels unlike the CPU's: %d classes, %dx%d to %dx%d, rows %d-%d/%d, columns %d-%d/%d\n", classes,
                    h, w, height, width, rows.begin, rows.end, rows.whole, columns.begin, columns.end, columns.whole);
    }
    std::printf(failures ? "%d failures\n" : "all well\n", failures);
    return failures ? 1 : 0;
}
