#define EDGESEG_ISA portable
#define EDGESEG_LANES 4
#include "dense_crf/isa_kernels.h"

namespace edgeseg::dense_crf {

const Isa& isa_portable() {
    using namespace EDGESEG_ISA;
    static constexpr Isa kIsa{"portable", EDGESEG_LANES, write_unaries, write_rows, find_corners,
                              gather,     blur,          filter,        mix,        sweep};
    return kIsa;
}

}  // namespace edgeseg::dense_crf
