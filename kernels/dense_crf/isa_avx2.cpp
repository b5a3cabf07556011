#define EDGESEG_ISA avx2
#define EDGESEG_LANES 8
#include "dense_crf/isa_kernels.h"

namespace edgeseg::dense_crf {

const Isa& isa_avx2() {
    using namespace EDGESEG_ISA;
    static constexpr Isa kIsa{"avx2", EDGESEG_LANES, write_unaries, write_rows, find_corners,
                              gather, blur,          filter,        mix,        sweep};
    return kIsa;
}

}  // namespace edgeseg::dense_crf
