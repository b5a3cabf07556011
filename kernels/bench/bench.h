#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "overlay/op.h"
#include "upsample_argmax/op.h"

namespace edgeseg::bench {

/// One frame: logits, and the labels and picture that the CPU kernels made of them.
struct Case {
    upsample_argmax::Params upsample;
    overlay::Params overlay;
};

/// The median time of 51 calls in microseconds, after one to warm up.
template <class Call>
double median_us(const Call& call) {
    call();
    std::vector<double> times_us(51);
    for (double& time_us : times_us) {
        const auto start = std::chrono::steady_clock::now();
        call();
        time_us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    }
    std::nth_element(times_us.begin(), times_us.begin() + 25, times_us.end());
    return times_us[25];
}

/// Whether there is a GPU.
bool has_device();

/// Times the CUDA kernels on the first device and compares their results with those of the CPU, byte by byte. Returns
/// the number of bytes that differ.
std::ptrdiff_t run_cuda(const Case& frame);

/// The same for the dense CRF. Returns the number of comparisons that failed.
int run_dense_crf_cuda(int classes, int height, int width);

}  // namespace edgeseg::bench
