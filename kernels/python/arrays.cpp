#include "python/arrays.h"

#include "parallel/thread_pool.h"

namespace edgeseg::python {
namespace {

std::string describe(const AnyArray& array) {
    std::string text = "(";
    for (std::size_t axis = 0; axis < array.ndim(); ++axis) {
        text += (axis ? ", " : "") + std::to_string(array.shape(axis));
    }
    text += array.ndim() == 1 ? ",) " : ") ";
    switch (static_cast<nb::dlpack::dtype_code>(array.dtype().code)) {
        case nb::dlpack::dtype_code::Bool:
            return text + "bool";
        case nb::dlpack::dtype_code::Int:
            text += "int";
            break;
        case nb::dlpack::dtype_code::UInt:
            text += "uint";
            break;
        case nb::dlpack::dtype_code::Float:
            text += "float";
            break;
        default:
            text += "other";
    }
    text += std::to_string(array.dtype().bits);
    if (!is_c_contiguous(array)) text += ", not C-contiguous";
    if (!is_aligned(array, array.itemsize())) text += ", not aligned";
    if (array.device_type() != nb::device::cpu::value) text += ", not in host memory";
    return text;
}

}  // namespace

bool is_c_contiguous(const AnyArray& array) {
    std::int64_t stride = 1;
    for (std::size_t axis = array.ndim(); axis-- > 0;) {
        if (array.shape(axis) != 1 && array.stride(axis) != stride) return false;
        stride *= static_cast<std::int64_t>(array.shape(axis));
    }
    return true;
}

bool is_aligned(const AnyArray& array, std::size_t bytes) {
    return reinterpret_cast<std::uintptr_t>(array.data()) % bytes == 0;
}

void refuse(const char* name, const char* shape, const char* dtype, const AnyArray& array) {
    const std::string message = std::string(name) + " must be " + shape + " " + dtype +
                                ", C-contiguous, aligned, no side empty; got " + describe(array);
    throw nb::value_error(message.c_str());
}

int checked_threads(int threads) {
    if (threads < 0) throw nb::value_error("threads must be 0 (all cores) or more");
    return parallel::thread_count(threads);
}

}  // namespace edgeseg::python
