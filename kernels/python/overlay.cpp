#include "overlay/op.h"
#include "python/arrays.h"

namespace edgeseg::python {
namespace {

nb::object overlay(const AnyArray& image, const AnyArray& labels, const AnyArray& colors, double opacity, int threads,
                   const nb::object& out) {
    const auto image_in = input<std::uint8_t, 3>(image, "image", "(H, W, 3)", "uint8");
    if (image_in.size[2] != 3) refuse("image", "(H, W, 3)", "uint8", image);
    const auto labels_in = input<std::uint8_t, 2>(labels, "labels", "(H, W) of the image,", "uint8");
    if (labels_in.size[0] != image_in.size[0] || labels_in.size[1] != image_in.size[1]) {
        refuse("labels", "(H, W) of the image,", "uint8", labels);
    }
    const auto colors_in = input<std::uint8_t, 2>(colors, "colors", "(256, 3)", "uint8");
    if (colors_in.size[0] != 256 || colors_in.size[1] != 3) refuse("colors", "(256, 3)", "uint8", colors);
    if (!(opacity >= 0.0 && opacity <= 1.0)) throw nb::value_error("opacity must be from 0 to 1");
    const int workers = checked_threads(threads);
    const Output<3> blended(out, {image.shape(0), image.shape(1), 3});

    {
        const nb::gil_scoped_release release;
        overlay::run_cpu({image_in, labels_in, colors_in, static_cast<float>(opacity), blended.view}, workers);
    }
    return blended.array;
}

}  // namespace

void bind_overlay(nb::module_& module) {
    module.def("overlay", &overlay, nb::arg("image"), nb::arg("labels"), nb::arg("colors"), nb::arg("opacity"),
               nb::arg("threads") = 0, nb::arg("out") = nb::none(), R"(The colours of the labels laid over the image.

``image * (1 - opacity) + colors[labels] * opacity``, rounded; pixels with label 255 stay as they are.

Args:
    image: (H, W, 3) uint8, C-contiguous.
    labels: (H, W) uint8, C-contiguous.
    colors: (256, 3) uint8, C-contiguous, in the channel order of the image.
    opacity: 0 (only the image) to 1 (only the colours).
    threads: the most to use; 0 for all cores.
    out: (H, W, 3) uint8 array to write to, C-contiguous, which may be ``image``; a new one where None.

Returns:
    (H, W, 3) uint8; ``out`` itself where given.

Raises:
    ValueError: an argument of another shape, dtype, layout or range.
    TypeError: an argument that is no array or number at all.)");
}

}  // namespace edgeseg::python
