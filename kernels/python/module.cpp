#include <string>

#include "parallel/available_cores.h"
#include "parallel/cpu_features.h"
#include "python/arrays.h"

namespace edgeseg::python {

void bind_upsample_argmax(nb::module_& module);
void bind_overlay(nb::module_& module);
void bind_dense_crf(nb::module_& module);
void bind_jpeg_scan(nb::module_& module);

namespace {

nb::dict build_info() {
    nb::dict info;
#if defined(__clang__)
    info["compiler"] = "Clang " __clang_version__;
#else
    info["compiler"] = "GCC " __VERSION__;
#endif
#if defined(__SSE2__)
    info["simd"] = "sse2";
#elif defined(__ARM_NEON)
    info["simd"] = "neon";
#else
    info["simd"] = "portable";
#endif
    return info;
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The kernels of edgeseg in C++.";
    bind_upsample_argmax(module);
    bind_overlay(module);
    bind_dense_crf(module);
    bind_jpeg_scan(module);
    module.def("available_cores", &parallel::available_cores,
               "The cores that this process may keep busy, at least 1: what ``threads=0`` means everywhere.\n\n"
               "Those that it is bound to (``taskset``, cpusets), or fewer where a cgroup, such as a container's or a\n"
               "service's, gives it a share of CPU time; a part of a core counts as one.");
    module.def("has_int8_dot_product", &parallel::has_int8_dot_product,
               "Whether this CPU multiplies and sums bytes in one instruction: VNNI on x86, the dot product on Arm.");
    module.def(
        "build_info", &build_info, nb::sig("def build_info() -> dict[str, str]"),
        "How this extension was built.\n\n"
        "``compiler``, and ``simd``, the vector instructions that every kernel was compiled for; what else the CPU\n"
        "has is chosen when the process starts, see :func:`dense_crf_isa`.");
}

}  // namespace edgeseg::python
