#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "python/arrays.h"
#include "upsample_argmax/op.h"

namespace edgeseg::python {
namespace {

using Part = std::optional<std::tuple<int, int, int>>;

upsample_argmax::Span checked_span(const Part& part, const char* name) {
    if (!part) return {};
    const auto& [begin, end, whole] = *part;
    if (begin < 0 || begin >= end || end > whole || whole > upsample_argmax::kMaxWhole) {
        throw nb::value_error((std::string(name) + " must be (begin, end, whole), 0 <= begin < end <= whole").c_str());
    }
    return {begin, end, whole};
}

nb::object upsample_argmax(const AnyArray& logits, int height, int width, int threads, const nb::object& out,
                           const Part& rows, const Part& columns) {
    using upsample_argmax::kMaxClasses;
    using upsample_argmax::kMaxSide;
    const auto in = input<float, 4>(logits, "logits", "(N, C, h, w)", "float32");
    if (in.size[1] > kMaxClasses) throw nb::value_error("logits must have at most 255 classes: label 255 is none");
    if (in.size[2] > kMaxSide || in.size[3] > kMaxSide) throw nb::value_error("logits must be at most 32767 a side");
    if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide) {
        throw nb::value_error("height and width must be from 1 to 32767");
    }
    const int workers = checked_threads(threads);
    const auto row_span = checked_span(rows, "rows"), column_span = checked_span(columns, "columns");
    const Output<3> labels(
        out, {static_cast<std::size_t>(in.size[0]), static_cast<std::size_t>(height), static_cast<std::size_t>(width)});

    {
        const nb::gil_scoped_release release;
        const upsample_argmax::Params params{in, labels.view, row_span, column_span};
        thread_local std::vector<std::byte> workspace;  // kept: the next frame needs the same
        workspace.resize(upsample_argmax::workspace_bytes(params));
        upsample_argmax::run_cpu(params, workspace.data(), workers);
    }
    return labels.array;
}

}  // namespace

void bind_upsample_argmax(nb::module_& module) {
    module.def("upsample_argmax", &upsample_argmax, nb::arg("logits"), nb::arg("height"), nb::arg("width"),
               nb::arg("threads") = 0, nb::arg("out") = nb::none(), nb::arg("rows") = nb::none(),
               nb::arg("columns") = nb::none(),
               R"(Labels at any size from logits at the network's stride.

Bilinear interpolation with pixel centres at halves (``align_corners=False``), then the argmax over the classes, in one
step and exactly: of equal classes the first wins, NaN never does.

Args:
    logits: (N, C, h, w) float32, C-contiguous, 1 <= C <= 255.
    height, width: size of the labels in pixels, 1 to 32767.
    threads: the most to use; 0 for all cores.
    out: (N, height, width) uint8 array to write to, C-contiguous; a new one where None.
    rows: ``(begin, end, whole)``: the labels are of the logits' rows from ``begin`` to ``end`` of ``whole`` equal parts
        of their height, such as the pixels of the picture that the network saw; None for all. Logits whose centres lie
        outside are not read: at the ends the nearest within count on.
    columns: the same across.

Returns:
    (N, height, width) uint8 class indices; ``out`` itself where given.

Raises:
    ValueError: an argument of another shape, dtype, layout or range.
    TypeError: an argument that is no array or integer at all.)");
}

}  // namespace edgeseg::python
