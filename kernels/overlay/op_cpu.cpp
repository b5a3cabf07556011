#include <algorithm>
#include <cstring>

#include "overlay/op.h"
#include "overlay/op_body.h"
#include "parallel/for_each.h"

namespace edgeseg::overlay {
namespace {

constexpr int kBlock = 512;       // pixels whose colours stay in the first-level cache
constexpr int kBlocksATurn = 16;  // blocks that a thread takes at a time

/// `count` pixels: first the colours side by side, then one plain loop over bytes, which the compiler makes packs of.
/// It stays in `color`, because the image and `out` may be the same memory.
void overlay_block(const std::uint8_t* image, const std::uint8_t* labels, const std::uint8_t* colors,
                   std::int16_t opacity, int count, std::uint8_t* out) {
    std::uint8_t color[3 * kBlock + 1];
    for (int i = 0; i < count; ++i) {
        if (labels[i] == kIgnore) {
            std::memcpy(color + 3 * i, image + 3 * i, 3);
        } else {
            std::memcpy(color + 3 * i, colors + 3 * labels[i], 4);  // one move; the fourth byte is overwritten
        }
    }
    for (int i = 0; i < 3 * count; ++i) color[i] = blend(image[i], color[i], opacity);
    std::memcpy(out, color, static_cast<std::size_t>(3 * count));
}

}  // namespace

void run_cpu(const Params& params, int threads) {
    const std::ptrdiff_t pixels = params.labels.count();
    const std::int16_t opacity = fixed_opacity(params.opacity);
    constexpr std::ptrdiff_t kTurn = static_cast<std::ptrdiff_t>(kBlock) * kBlocksATurn;
    parallel::for_each(
        (pixels + kTurn - 1) / kTurn, parallel::threads_worth(threads, 3 * pixels), [&](std::ptrdiff_t turn) {
            const std::ptrdiff_t end = std::min(pixels, (turn + 1) * kTurn);
            for (std::ptrdiff_t i = turn * kTurn; i < end; i += kBlock) {
                overlay_block(params.image.data + 3 * i, params.labels.data + i, params.colors.data, opacity,
                              static_cast<int>(std::min<std::ptrdiff_t>(kBlock, end - i)), params.out.data + 3 * i);
            }
        });
}

}  // namespace edgeseg::overlay
