#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>

#include "jpeg_scan/damage.h"
#include "python/arrays.h"

namespace edgeseg::python {
namespace {

std::optional<std::string> jpeg_damage(const nb::bytes& data) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(data.c_str());
    const std::size_t size = data.size();
    const char* found = nullptr;
    {
        const nb::gil_scoped_release release;
        found = jpeg_scan::damage(bytes, size);
    }
    return found ? std::optional<std::string>(found) : std::nullopt;
}

}  // namespace

void bind_jpeg_scan(nb::module_& module) {
    module.def("jpeg_damage", &jpeg_damage, nb::arg("data"), nb::sig("def jpeg_damage(data: bytes) -> str | None"),
               R"(What is wrong with the coded data of a JPEG, in words; None where they end with the picture.

Decoders fill what is missing with grey. No picture is computed: it takes a fraction of the time of decoding. Baseline
and progressive Huffman coding are looked at, with restart markers; other kinds are None.

Args:
    data: the file, from its first byte.)");
}

}  // namespace edgeseg::python
