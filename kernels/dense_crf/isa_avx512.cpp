#define EDGESEG_ISA avx512
#define EDGESEG_LANES 16
#include "dense_crf/isa_kernels.h"

namespace edgeseg::dense_crf {

const Isa& isa_avx512() {
    using namespace EDGESEG_ISA;
    static constexpr Isa kIsa{"avx512", EDGESEG_LANES, write_unaries, write_rows, find_corners,
                              gather,   blur,          filter,        mix,        sweep};
    return kIsa;
}

}  // namespace edgeseg::dense_crf
