/// Runs refine's CUDA driver on the CPU: what it computes from logits and an image is compared with a slow, obvious
/// upsampling and softmax followed by the dense CRF's CPU driver.

#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "dense_crf/op.h"
#include "fibers.h"
#include "parallel/aligned_buffer.h"
#include "refine/op.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace {

using namespace edgeseg;
using convert::Real;

// The CPU merges pixels of like colours where both sigmas are 8 pixels or more, which CUDA does not.
constexpr dense_crf::BilateralTerm kBilateral{7, 7, {13, 13, 13}, 10};
constexpr dense_crf::SpatialTerm kSpatial{3, 3, 3};

struct Case {
    const char* what;
    int images, classes, source_height, source_width, height, width;
    Real logits = Real::kFloat, image = Real::kFloat;
    int vertices = 0;  // 0: enough
};

std::vector<std::byte> stored(const std::vector<float>& values, Real type) {
    std::vector<std::byte> bytes(values.size() * (type == Real::kHalf ? sizeof(__half) : sizeof(float)));
    for (std::size_t i = 0; i < values.size(); ++i) {
        const __half half = half_of(values[i]);
        if (type == Real::kHalf) std::memcpy(bytes.data() + i * sizeof half, &half, sizeof half);
        if (type == Real::kFloat) std::memcpy(bytes.data() + i * sizeof(float), &values[i], sizeof(float));
    }
    return bytes;
}

float value_at(const std::vector<std::byte>& bytes, std::size_t i, Real type) {
    __half half;
    float value;
    if (type == Real::kHalf) std::memcpy(&half, bytes.data() + i * sizeof half, sizeof half);
    if (type == Real::kFloat) std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    return type == Real::kHalf ? float_of(half) : value;
}

struct Input {
    std::vector<float> logits;        // (N, C, h, w)
    std::vector<std::uint8_t> image;  // (N, H, W, 3)

    explicit Input(const Case& c) {
        std::mt19937 random(7);
        std::normal_distribution<float> normal(0, 2);
        for (int i = 0; i < c.images * c.classes * c.source_height * c.source_width; ++i) {
            logits.push_back(float_of(half_of(normal(random))));  // the same whichever way they are stored
        }
        for (int i = 0; i < c.images * c.height * c.width; ++i) {
            const int x = i % c.width, y = i / c.width;
            for (int channel = 0; channel < 3; ++channel) {
                const double wave = std::sin(0.15 * x + channel) * std::cos(0.11 * y);
                image.push_back(static_cast<std::uint8_t>(120 + 80 * wave + 4 * normal(random)));
            }
        }
    }
};

/// (N, C, H, W)
std::vector<float> probabilities_of(const Case& c, const Input& input) {
    std::vector<float> all(static_cast<std::size_t>(c.images) * c.classes * c.height * c.width);
    const auto place = [](int i, int source, int target) {
        return std::clamp((i + 0.5) * source / target - 0.5, 0.0, source - 1.0);
    };
    for (int n = 0; n < c.images; ++n) {
        for (int y = 0; y < c.height; ++y) {
            for (int x = 0; x < c.width; ++x) {
                const double at_y = place(y, c.source_height, c.height), at_x = place(x, c.source_width, c.width);
                const int top = static_cast<int>(at_y), left = static_cast<int>(at_x);
                const int bottom = std::min(top + 1, c.source_height - 1),
                          right = std::min(left + 1, c.source_width - 1);
                const double weight_y = at_y - top, weight_x = at_x - left;
                std::vector<double> power;
                double sum = 0;
                for (int k = 0; k < c.classes; ++k) {
                    const float* plane = input.logits.data() + (n * c.classes + k) * c.source_height * c.source_width;
                    const auto logit = [&](int row, int column) { return plane[row * c.source_width + column]; };
                    power.push_back(
                        std::exp((1 - weight_y) * ((1 - weight_x) * logit(top, left) + weight_x * logit(top, right)) +
                                 weight_y * ((1 - weight_x) * logit(bottom, left) + weight_x * logit(bottom, right))));
                    sum += power.back();
                }
                for (int k = 0; k < c.classes; ++k) {
                    all[((n * c.classes + k) * c.height + y) * c.width + x] = static_cast<float>(power[k] / sum);
                }
            }
        }
    }
    return all;
}

dense_crf::Params crf_params() {
    dense_crf::Params params;
    params.bilateral = &kBilateral;
    params.bilateral_count = 1;
    params.spatial = &kSpatial;
    params.spatial_count = 1;
    params.iterations = 2;
    return params;
}

int enough_vertices(const Case& c) {
    return 6 * c.height * c.width + 64;
}

/// The marginals of the CPU's driver.
std::vector<float> refined_on_cpu(const Case& c, const Input& input, const std::vector<float>& probabilities) {
    std::vector<float> marginals(probabilities.size());
    dense_crf::Params params = crf_params();
    params.probabilities = {probabilities.data(), {c.images, c.classes, c.height, c.width}};
    params.image = {input.image.data(), {c.images, c.height, c.width, 3}};
    params.marginals = {marginals.data(), {c.images, c.classes, c.height, c.width}};
    parallel::AlignedBuffer workspace;
    dense_crf::run_cpu(params, workspace.at_least(dense_crf::workspace_bytes(params, enough_vertices(c), 1)),
                       enough_vertices(c), 1);
    return marginals;
}

int failures = 0;

void expect(bool holds, const Case& c, const char* what) {
    if (holds) return;
    ++failures;
    std::printf("%s: %s\n", c.what, what);
}

void test(const Case& c) {
    const Input input(c);
    const std::vector<float> probabilities = probabilities_of(c, input);
    const std::vector<float> expected = c.vertices ? probabilities : refined_on_cpu(c, input, probabilities);
    const std::vector<std::byte> logits = stored(input.logits, c.logits);
    const std::vector<std::byte> image = stored({input.image.begin(), input.image.end()}, c.image);
    const std::size_t pixels = static_cast<std::size_t>(c.height) * c.width;
    std::vector<std::byte> labels = stored(std::vector<float>(c.images * pixels, 77), c.image);
    std::vector<float> marginals(expected.size(), 77);

    refine::Params params;
    params.logits = logits.data();
    params.logits_type = c.logits;
    const int size[] = {c.images, c.classes, c.source_height, c.source_width};
    std::copy_n(size, 4, params.logits_size);
    params.image = image.data();
    params.image_type = c.image;
    params.height = c.height;
    params.width = c.width;
    params.crf = crf_params();
    params.labels = labels.data();
    params.marginals = {marginals.data(), {c.images, c.classes, c.height, c.width}};
    const int vertices = c.vertices ? c.vertices : enough_vertices(c);
    const std::size_t bytes = refine::workspace_bytes(params, vertices);
    parallel::AlignedBuffer workspace;
    void* memory = workspace.at_least(bytes);
    std::memset(memory, 0x5c, bytes);
    cuda_on_cpu::set_order(1);
    refine::run_cuda(params, memory, vertices, nullptr);
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);  // the gaps that the dense CRF's Carver made
#endif

    float most = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) most = std::max(most, std::fabs(marginals[i] - expected[i]));
    std::printf("%-24s |dQ| <= %.1e\n", c.what, most);
    expect(most <= (c.logits == Real::kHalf && !c.vertices ? 3e-3f : 3e-5f), c, "marginals are unlike the CPU's");
    bool most_probable = true;
    for (std::size_t i = 0; i < c.images * pixels; ++i) {
        const float* q = marginals.data() + i / pixels * pixels * c.classes + i % pixels;
        const float label = value_at(labels, i, c.image);
        most_probable &= label >= 0 && label < static_cast<float>(c.classes);
        for (int k = 0; k < c.classes && most_probable; ++k) {
            most_probable &= q[k * pixels] <= q[static_cast<int>(label) * pixels] * 1.00001f;
        }
    }
    expect(most_probable, c, "a label is not the most probable");
}

/// An engine reserves memory once, for the largest image that it takes.
void test_workspace() {
    const auto bytes_for = [](int height, int width) {
        refine::Params params;
        const int size[] = {1, 11, (height + 7) / 8, (width + 7) / 8};
        std::copy_n(size, 4, params.logits_size);
        params.height = height;
        params.width = width;
        params.crf = crf_params();
        return refine::workspace_bytes(params, dense_crf::usual_vertices(refine::crf_of_one_image(params)));
    };
    bool grows = true;
    for (int height = 1; height < 200; height += 3) {
        for (int width = 1; width < 200; width += 2) {
            const std::size_t bytes = bytes_for(height, width);
            grows &= bytes <= bytes_for(height + 1, width) && bytes <= bytes_for(height, width + 1);
        }
    }
    if (!grows) ++failures, std::printf("a larger image needs a smaller workspace\n");
}

}  // namespace

int main() {
    constexpr Real kFloat = Real::kFloat, kHalf = Real::kHalf;
    for (const Case& c : std::vector<Case>{
             {"one pixel", 1, 2, 1, 1, 1, 1},
             {"floats", 1, 5, 5, 6, 37, 45},
             {"halves", 1, 5, 5, 6, 37, 45, kHalf, kHalf},
             {"half logits alone", 1, 11, 4, 5, 32, 40, kHalf, kFloat},
             {"half image alone", 1, 11, 4, 5, 32, 40, kFloat, kHalf},
             {"stride 1", 1, 3, 20, 23, 20, 23},
             {"a smaller image", 1, 3, 40, 46, 20, 23},
             {"a batch", 3, 4, 3, 4, 24, 27, kHalf, kHalf},
             {"overflow", 2, 5, 5, 6, 37, 45, kFloat, kFloat, 20},
             {"overflow of halves", 2, 5, 5, 6, 37, 45, kHalf, kHalf, 20},
         }) {
        test(c);
    }
    test_workspace();
    std::printf(failures ? "%d failures\n" : "all well\n", failures);
    return failures ? 1 : 0;
}
