#pragma once

#include <NvInferRuntime.h>

#include <exception>

namespace edgeseg::trt {

/// Writes an error to the logger of TensorRT that called, or to stderr where none is known.
void log_error(const char* plugin, const char* what) noexcept;

/// What `body` returns, or `failed` where it throws, with the reason logged: exceptions must not reach TensorRT.
template <class Result, class Body>
Result logged(const char* plugin, Result failed, const Body& body) noexcept {
    try {
        return body();
    } catch (const std::exception& error) {
        log_error(plugin, error.what());
    } catch (...) {
        log_error(plugin, "unknown error");
    }
    return failed;
}

}  // namespace edgeseg::trt
