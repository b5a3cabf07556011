#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <string>

#include "parallel/view.h"

/// Arguments from Python: what does not fit is a ValueError that names the argument, what it must be and what it was.
namespace edgeseg::python {

namespace nb = nanobind;

using AnyArray = nb::ndarray<nb::ro>;

/// `shape` is for the message: "(N, C, h, w)".
[[noreturn]] void refuse(const char* name, const char* shape, const char* dtype, const AnyArray& array);

bool is_c_contiguous(const AnyArray& array);

/// Whether the first value lies at a multiple of so many bytes: NumPy's views of bytes need not.
bool is_aligned(const AnyArray& array, std::size_t bytes);

template <class T, int kRank>
parallel::View<const T, kRank> input(const AnyArray& array, const char* name, const char* shape, const char* dtype) {
    parallel::View<const T, kRank> view;
    if (array.ndim() != kRank || array.dtype() != nb::dtype<T>() || array.device_type() != nb::device::cpu::value ||
        !is_c_contiguous(array) || !is_aligned(array, alignof(T))) {
        refuse(name, shape, dtype, array);
    }
    for (int axis = 0; axis < kRank; ++axis) {
        const std::size_t size = array.shape(axis);
        if (size < 1 || size > INT32_MAX) refuse(name, shape, dtype, array);
        view.size[axis] = static_cast<int>(size);
    }
    view.data = static_cast<const T*>(array.data());
    return view;
}

/// The result: `out` itself, checked, or a new array where it is None.
template <int kRank>
struct Output {
    nb::object array;
    parallel::View<std::uint8_t, kRank> view;

    Output(const nb::object& out, const std::size_t (&shape)[kRank]) : array(out) {
        std::size_t count = 1;
        std::string expected = "(";
        for (int axis = 0; axis < kRank; ++axis) {
            view.size[axis] = static_cast<int>(shape[axis]);
            count *= shape[axis];
            expected += (axis ? ", " : "") + std::to_string(shape[axis]);
        }
        expected += ")";
        if (out.is_none()) {
            view.data = new std::uint8_t[count];
            const nb::capsule owner(view.data, [](void* data) noexcept { delete[] static_cast<std::uint8_t*>(data); });
            array = nb::cast(nb::ndarray<nb::numpy, std::uint8_t>(view.data, kRank, shape, owner));
            return;
        }
        nb::ndarray<> given;
        if (!nb::try_cast(out, given, false)) throw nb::value_error("out must be a writable uint8 array");
        const auto checked = input<std::uint8_t, kRank>(AnyArray(given), "out", expected.c_str(), "uint8");
        for (int axis = 0; axis < kRank; ++axis) {
            if (checked.size[axis] != view.size[axis]) refuse("out", expected.c_str(), "uint8", AnyArray(given));
        }
        view.data = static_cast<std::uint8_t*>(given.data());
    }
};

/// `threads` as given from Python: 0 is all cores.
int checked_threads(int threads);

}  // namespace edgeseg::python
