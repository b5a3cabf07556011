#include "parallel/for_each.cuh"
#include "upsample_argmax/op.h"
#include "upsample_argmax/op_body.h"

namespace edgeseg::upsample_argmax {

void run_cuda(const Params& params, void* workspace, parallel::CudaStream stream) {
    const auto& [logits, labels, row_span, column_span] = params;
    const Axis rows(logits.size[2], labels.size[1], row_span);
    const Axis columns(logits.size[3], labels.size[2], column_span);
    const parallel::View<std::uint8_t, 3> winners{static_cast<std::uint8_t*>(workspace),
                                                  {logits.size[0], logits.size[2], logits.size[3]}};
    parallel::for_each(logits.size[0], logits.size[2], logits.size[3], stream, WriteSourceWinner{logits, winners});
    parallel::for_each(logits.size[0], labels.size[1], labels.size[2], stream,
                       WriteTargetLabel{logits, winners, labels, rows, columns});
}

}  // namespace edgeseg::upsample_argmax
