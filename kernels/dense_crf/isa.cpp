#include "dense_crf/isa.h"

#include <cstdlib>
#include <cstring>

namespace edgeseg::dense_crf {
namespace {

/// The best that this CPU has, or the next best that EDGESEG_ISA allows: the tests run all of them on one machine.
const Isa& choose() {
#if defined(__x86_64__)
    const char* wanted = std::getenv("EDGESEG_ISA");
    const auto allowed = [&](const Isa& isa) { return !wanted || !std::strcmp(wanted, isa.name); };
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && allowed(isa_avx512())) {
        return isa_avx512();
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && allowed(isa_avx2())) return isa_avx2();
#endif
    return isa_portable();
}

}  // namespace

const Isa& isa() {
    static const Isa& chosen = choose();
    return chosen;
}

int stride_of(const Isa& isa, int classes) {
    const int registers = (classes + isa.lanes - 1) / isa.lanes;
    for (const int compiled : kCompiledRegisters) {
        if (compiled >= registers) return compiled * isa.lanes;
    }
    return 0;
}

}  // namespace edgeseg::dense_crf
