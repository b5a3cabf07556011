#include "overlay/op.h"
#include "overlay/op_body.h"
#include "parallel/for_each.cuh"

namespace edgeseg::overlay {
namespace {

struct WritePixel {
    Params params;
    std::int16_t opacity;

    __device__ void operator()(int, int y, int x) const {
        const std::uint8_t* image = params.image.at(y, x);
        const int label = *params.labels.at(y, x);
        const std::uint8_t* color = label == kIgnore ? image : params.colors.at(label);
        for (int channel = 0; channel < 3; ++channel) {
            *params.out.at(y, x, channel) = blend(image[channel], color[channel], opacity);
        }
    }
};

}  // namespace

void run_cuda(const Params& params, parallel::CudaStream stream) {
    parallel::for_each(1, params.image.size[0], params.image.size[1], stream,
                       WritePixel{params, fixed_opacity(params.opacity)});
}

}  // namespace edgeseg::overlay
