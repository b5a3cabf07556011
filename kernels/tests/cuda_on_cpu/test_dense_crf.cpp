/// Runs the CUDA driver of the dense CRF on the CPU and compares it with the CPU's driver: twice, with threads in other
/// orders and other rubbish in the memory, which must change no bit.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "dense_crf/op.h"
#include "dense_crf/op_cuda.h"
#include "fibers.h"
#include "parallel/aligned_buffer.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace {

using namespace edgeseg;
using dense_crf::BilateralTerm;
using dense_crf::Params;
using dense_crf::Quality;
using dense_crf::SpatialTerm;
using dense_crf::Storage;

// The CPU merges pixels of like colours where both sigmas are 8 pixels or more, which CUDA does not.
constexpr BilateralTerm kNear{7, 7, {13, 13, 13}, 10};
constexpr BilateralTerm kUneven{5, 7.5f, {20, 9, 30}, 4};
constexpr BilateralTerm kFar{80, 80, {13, 13, 13}, 10};
constexpr BilateralTerm kAnyColor{300, 7, {200, 200, 200}, 10};
constexpr SpatialTerm kOnPixels{1, 1, 3};
constexpr SpatialTerm kOnCells{3, 3, 3};
constexpr SpatialTerm kWide{60, 45, 1.5f};

struct Case {
    const char* what;
    int classes, height, width;
    std::vector<BilateralTerm> bilateral = {kNear};
    std::vector<SpatialTerm> spatial = {kOnCells};
    bool compatibility = false;
    Quality quality = Quality::kFast;
    Storage storage = Storage::kFloat;
    int iterations = 2;
    int images = 1;
    bool noise = false;  // for an image: no pixels to merge, and vertices of its own for each
};

/// What a case is computed from.
struct Input {
    std::vector<float> probabilities, costs;
    std::vector<std::uint8_t> image;

    explicit Input(const Case& c) {
        std::mt19937 random(7);
        std::uniform_real_distribution<float> uniform(0, 1);
        const auto wave = [](double x, double y, int phase) {
            return static_cast<float>(std::sin(0.15 * x + phase) * std::cos(0.11 * y + 2 * phase));
        };
        for (int n = 0; n < c.images; ++n) {
            for (int y = 0; y < c.height; ++y) {
                for (int x = 0; x < c.width; ++x) {
                    for (int channel = 0; channel < 3; ++channel) {
                        const float edge = x + y > (c.height + c.width) / 2 ? 30.0f : 0.0f;
                        const float soft = 110 + 60 * wave(x, y, n + channel) + edge + 6 * uniform(random);
                        image.push_back(static_cast<std::uint8_t>(c.noise ? 255 * uniform(random) : soft));
                    }
                }
            }
            for (int k = 0; k < c.classes; ++k) {
                for (int y = 0; y < c.height; ++y) {
                    for (int x = 0; x < c.width; ++x) {
                        const float logit = 2 * wave(x * (1 + k % 5), y, n + k) + 1.5f * uniform(random);
                        probabilities.push_back(std::exp(logit));
                    }
                }
            }
        }
        const std::size_t pixels = static_cast<std::size_t>(c.height) * c.width;
        for (std::size_t i = 0; i < pixels * c.images; ++i) {
            float* of_pixel = probabilities.data() + i / pixels * pixels * c.classes + i % pixels;
            float sum = 0;
            for (int k = 0; k < c.classes; ++k) sum += of_pixel[k * pixels];
            for (int k = 0; k < c.classes; ++k) of_pixel[k * pixels] /= sum;
        }
        for (int i = 0; i < c.classes * c.classes; ++i) costs.push_back(2 * uniform(random) - 0.5f);
    }
};

struct Result {
    std::vector<std::uint8_t> labels;
    std::vector<float> marginals;

    Result(const Case& c, std::uint8_t rubbish)
        : labels(static_cast<std::size_t>(c.images) * c.height * c.width, rubbish),
          marginals(labels.size() * c.classes, rubbish) {}

    bool operator==(const Result&) const = default;
};

Params params_of(const Case& c, const Input& input, Result& result) {
    Params params;
    params.probabilities = {input.probabilities.data(), {c.images, c.classes, c.height, c.width}};
    params.image = {input.image.data(), {c.images, c.height, c.width, 3}};
    params.bilateral = c.bilateral.data();
    params.bilateral_count = static_cast<int>(c.bilateral.size());
    params.spatial = c.spatial.data();
    params.spatial_count = static_cast<int>(c.spatial.size());
    params.compatibility = c.compatibility ? input.costs.data() : nullptr;
    params.iterations = c.iterations;
    params.quality = c.quality;
    params.labels = {result.labels.data(), {c.images, c.height, c.width}};
    params.marginals = {result.marginals.data(), {c.images, c.classes, c.height, c.width}};
    return params;
}

/// Room for every corner of every pixel.
int most_vertices(const Case& c) {
    return 6 * c.height * c.width + 64;
}

Result run_cpu(const Case& c, const Input& input) {
    Result result(c, 0);
    const Params params = params_of(c, input, result);
    parallel::AlignedBuffer workspace;
    void* memory = workspace.at_least(dense_crf::workspace_bytes(params, most_vertices(c), 1));
    if (!dense_crf::run_cpu(params, memory, most_vertices(c), 1)) std::fill_n(result.marginals.begin(), 1, NAN);
    return result;
}

/// `seed` chooses the order of threads and what is in memory before. `overflow` receives the flag.
Result run_cuda(const Case& c, const Input& input, int vertices, unsigned seed, int& overflow) {
    const auto rubbish = static_cast<std::uint8_t>(0x3c + 0x47 * seed);
    Result result(c, rubbish);
    const Params params = params_of(c, input, result);
    const std::size_t bytes = dense_crf::workspace_bytes_cuda(params, vertices, c.storage);
    parallel::AlignedBuffer workspace;
    void* memory = workspace.at_least(bytes);
    std::memset(memory, rubbish, bytes);
    cuda_on_cpu::set_order(seed);
    dense_crf::run_cuda(params, memory, vertices, c.storage, nullptr);
    overflow = *dense_crf::overflow_flag(memory);
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);  // the gaps that the driver's Carver made
#endif
    return result;
}

int failures = 0;

void expect(bool holds, const Case& c, const char* what) {
    if (holds) return;
    ++failures;
    std::printf("%s, %d classes, %dx%d: %s\n", c.what, c.classes, c.height, c.width, what);
}

/// Whether marginals sum to one and each label is the most probable class.
bool holds_together(const Case& c, const Result& result) {
    const std::size_t pixels = static_cast<std::size_t>(c.height) * c.width;
    for (std::size_t i = 0; i < result.labels.size(); ++i) {
        const float* q = result.marginals.data() + i / pixels * pixels * c.classes + i % pixels;
        if (result.labels[i] >= c.classes) return false;
        const float of_label = q[result.labels[i] * pixels];
        float sum = 0;
        for (int k = 0; k < c.classes; ++k) {
            sum += q[k * pixels];
            if (!(q[k * pixels] <= of_label * 1.00001f)) return false;
        }
        if (!(std::fabs(sum - 1) < 1e-4f)) return false;
    }
    return true;
}

void compare(const Case& c) {
    const Input input(c);
    const Result cpu = run_cpu(c, input);
    int overflow = 0;
    const Result cuda = run_cuda(c, input, most_vertices(c), 1, overflow);
    expect(overflow == 0, c, "the overflow flag is set");
    expect(holds_together(c, cuda), c, "marginals do not sum to one, or a label is not the most probable");
    float most = 0;
    for (std::size_t i = 0; i < cpu.marginals.size(); ++i) {
        most = std::max(most, std::fabs(cpu.marginals[i] - cuda.marginals[i]));
    }
    std::printf("%-32s %3d classes, %3dx%-3d  |dQ| <= %.1e\n", c.what, c.classes, c.height, c.width, most);
    std::fflush(stdout);
    expect(most <= (c.storage == Storage::kHalf ? 3e-3f : 3e-5f), c, "unlike the CPU");
    expect(run_cuda(c, input, most_vertices(c), 2, overflow) == cuda, c, "other bits in another order");
}

void overflow_with(const Case& c, int vertices) {
    const Input input(c);
    for (const unsigned seed : {1u, 2u}) {
        int overflow = 0;
        run_cuda(c, input, vertices, seed, overflow);
        expect(overflow == 1, c, "the overflow flag is not set");
    }
}

}  // namespace

int main() {
    constexpr Quality kAccurate = Quality::kAccurate;
    constexpr Storage kHalf = Storage::kHalf;
    std::vector<Case> cases = {
        {.what = "one pixel", .classes = 3, .height = 1, .width = 1},
        {.what = "a row", .classes = 3, .height = 1, .width = 7, .quality = kAccurate},
        {.what = "a column", .classes = 3, .height = 33, .width = 1, .spatial = {kOnPixels}, .quality = kAccurate},
        {.what = "sides of 2 mod 4", .classes = 5, .height = 42, .width = 34, .quality = kAccurate},
        {.what = "odd sides", .classes = 5, .height = 43, .width = 33, .iterations = 3},
        {.what = "on pixels", .classes = 5, .height = 30, .width = 37, .spatial = {kOnPixels}, .compatibility = true},
        {.what = "accurate, half, compatibility",
         .classes = 11,
         .height = 24,
         .width = 41,
         .compatibility = true,
         .quality = kAccurate,
         .storage = kHalf,
         .iterations = 5},
        {.what = "several terms, on cells",
         .classes = 11,
         .height = 24,
         .width = 36,
         .bilateral = {kNear, kUneven},
         .spatial = {kOnCells, kWide},
         .compatibility = true,
         .quality = kAccurate},
        {.what = "several terms, on pixels",
         .classes = 11,
         .height = 25,
         .width = 38,
         .bilateral = {kUneven, kNear},
         .spatial = {kWide, kOnPixels, kOnCells}},
        {.what = "long lists", .classes = 3, .height = 70, .width = 90, .bilateral = {kAnyColor}, .quality = kAccurate},
        {.what = "noise", .classes = 5, .height = 30, .width = 40, .bilateral = {kFar}, .noise = true},
        {.what = "a batch", .classes = 4, .height = 20, .width = 27, .quality = kAccurate, .images = 2},
        {.what = "no iterations", .classes = 4, .height = 20, .width = 20, .compatibility = true, .iterations = 0},
        {.what = "bilateral alone", .classes = 7, .height = 24, .width = 28, .spatial = {}},
        {.what = "spatial alone", .classes = 7, .height = 24, .width = 28, .bilateral = {}},
        {.what = "no terms", .classes = 7, .height = 19, .width = 21, .bilateral = {}, .spatial = {}},
    };
    // Lanes and quads for each of these numbers of classes differ, and with them the size of tiles.
    for (const int classes : {2, 5, 11, 16, 19, 21, 32, 40, 64, 97, 150, 255}) {
        for (const Storage storage : {Storage::kFloat, kHalf}) {
            cases.push_back({.what = storage == kHalf ? "half" : "float",
                             .classes = classes,
                             .height = 21,
                             .width = 19,
                             .compatibility = classes % 2 == 0,
                             .storage = storage});
        }
    }
    for (const Case& c : cases) compare(c);
    const Case crowded{
        .what = "overflow", .classes = 5, .height = 40, .width = 52, .bilateral = {kFar}, .images = 2, .noise = true};
    for (const int vertices : {1, 40, 3000}) overflow_with(crowded, vertices);
    std::printf(failures ? "%d failures\n" : "all well\n", failures);
    return failures ? 1 : 0;
}
