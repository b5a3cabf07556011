/// Runs every kernel over sizes, classes and thread counts where mistakes of memory or threading would show under the
/// sanitizers. What the results must be in full is the Python suite's to say; here they must hold together.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "dense_crf/filter.h"
#include "dense_crf/isa.h"
#include "dense_crf/op.h"
#include "jpeg_scan/damage.h"
#include "overlay/op.h"
#include "parallel/aligned_buffer.h"
#include "upsample_argmax/op.h"

namespace {

using namespace edgeseg;

int failures = 0;

void expect(bool holds, const char* what, int classes, int height, int width, int threads) {
    if (holds) return;
    ++failures;
    std::printf("%s: %d classes, %dx%d, %d threads\n", what, classes, height, width, threads);
}

/// Just as much memory as is needed, so that one element too many is found.
template <class T>
struct Array {
    std::vector<T> values;

    explicit Array(std::ptrdiff_t count) : values(static_cast<std::size_t>(count)) {}
    T* data() { return values.data(); }
};

std::mt19937 random(7);

/// Probabilities (C, H, W) that sum to one.
Array<float> random_probabilities(int classes, std::ptrdiff_t pixels) {
    Array<float> p(classes * pixels);
    std::uniform_real_distribution<float> uniform(0.01f, 1.0f);
    for (std::ptrdiff_t i = 0; i < pixels; ++i) {
        float sum = 0;
        for (int c = 0; c < classes; ++c) sum += p.values[c * pixels + i] = uniform(random);
        for (int c = 0; c < classes; ++c) p.values[c * pixels + i] /= sum;
    }
    return p;
}

/// Flat areas that merge into points, or noise that gives every pixel vertices of its own.
Array<std::uint8_t> random_image(int height, int width, bool noise) {
    Array<std::uint8_t> image(3ll * height * width);
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < 3 * width; ++x) {
            image.values[static_cast<std::size_t>(y) * 3 * width + x] =
                static_cast<std::uint8_t>(noise ? random() : 40 * (x / 30 % 3) + 50 * (y / 9 % 3));
        }
    }
    return image;
}

struct CrfCase {
    int classes, height, width;
    bool noise = false, compatibility = false;
    float spatial_sigma = 3;
    dense_crf::Quality quality = dense_crf::Quality::kFast;
    int images = 1;
};

void run_dense_crf(const CrfCase& c, int threads) {
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(c.height) * c.width;
    Array<float> probabilities(0), marginals(c.images * c.classes * pixels);
    Array<std::uint8_t> picture(0), labels(c.images * pixels);
    for (int n = 0; n < c.images; ++n) {
        const auto p = random_probabilities(c.classes, pixels);
        const auto i = random_image(c.height, c.width, c.noise);
        probabilities.values.insert(probabilities.values.end(), p.values.begin(), p.values.end());
        picture.values.insert(picture.values.end(), i.values.begin(), i.values.end());
    }
    Array<float> costs(static_cast<std::ptrdiff_t>(c.classes) * c.classes);
    for (float& cost : costs.values) cost = 0.1f * static_cast<float>(random() % 10);

    const dense_crf::BilateralTerm bilateral[] = {{20, 30, {13, 14, 15}, 4}, {5, 5, {40, 40, 40}, 2}};
    const dense_crf::SpatialTerm spatial[] = {{c.spatial_sigma, c.spatial_sigma, 3}, {2.5f, 9, 1}};
    dense_crf::Params params;
    params.probabilities = {probabilities.data(), {c.images, c.classes, c.height, c.width}};
    params.image = {picture.data(), {c.images, c.height, c.width, 3}};
    params.bilateral = bilateral;
    params.bilateral_count = 2;
    params.spatial = spatial;
    params.spatial_count = 2;
    params.compatibility = c.compatibility ? costs.data() : nullptr;
    params.iterations = 2;
    params.quality = c.quality;
    params.labels = {labels.data(), {c.images, c.height, c.width}};
    params.marginals = {marginals.data(), {c.images, c.classes, c.height, c.width}};

    parallel::AlignedBuffer workspace;
    int vertices = 64;  // too few for most: growing is part of the test
    while (!dense_crf::run_cpu(params, workspace.at_least(dense_crf::workspace_bytes(params, vertices, threads)),
                               vertices, threads)) {
        vertices *= 2;
    }

    bool sums = true, highest = true;
    for (std::ptrdiff_t i = 0; i < c.images * pixels; ++i) {
        const float* q = marginals.data() + i / pixels * c.classes * pixels + i % pixels;
        float sum = 0;
        for (int k = 0; k < c.classes; ++k) {
            sum += q[k * pixels];
            highest = highest && q[k * pixels] <= q[labels.values[static_cast<std::size_t>(i)] * pixels] + 1e-6f;
        }
        sums = sums && std::fabs(sum - 1) < 1e-4f;
    }
    expect(sums, "dense_crf: marginals do not sum to one", c.classes, c.height, c.width, threads);
    expect(highest, "dense_crf: a label is not the most probable", c.classes, c.height, c.width, threads);
}

void run_bilateral_filter(int channels, int height, int width, int threads) {
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(height) * width;
    auto a = random_probabilities(channels, pixels), b = random_probabilities(channels, pixels);
    auto image = random_image(height, width, false);
    Array<float> filtered_a(channels * pixels), filtered_b(channels * pixels);
    dense_crf::BilateralFilter filter(height, width, channels, {}, dense_crf::Quality::kFast, threads);
    filter.build(image.data());
    filter.apply(a.data(), filtered_a.data(), false);
    filter.apply(b.data(), filtered_b.data(), true);
    double forward = 0, backward = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
        forward += static_cast<double>(filtered_a.values[i]) * b.values[i];
        backward += static_cast<double>(filtered_b.values[i]) * a.values[i];
    }
    expect(std::fabs(forward - backward) < 1e-4 * forward, "bilateral filter: the transpose is not the transpose",
           channels, height, width, threads);
}

void run_picture_kernels(int classes, int height, int width, int stride, int threads, upsample_argmax::Span part = {}) {
    const int h = (height + stride - 1) / stride, w = (width + stride - 1) / stride;
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(height) * width;
    auto logits = random_probabilities(classes, static_cast<std::ptrdiff_t>(h) * w);
    Array<std::uint8_t> labels(pixels), colors(3 * 256), out(3 * pixels);
    auto image = random_image(height, width, true);
    const upsample_argmax::Params upsample{
        {logits.data(), {1, classes, h, w}}, {labels.data(), {1, height, width}}, part, part};
    parallel::AlignedBuffer workspace;
    upsample_argmax::run_cpu(upsample, workspace.at_least(upsample_argmax::workspace_bytes(upsample)), threads);
    bool known = true;
    for (const std::uint8_t label : labels.values) known = known && label < classes;
    expect(known, "upsample_argmax: a label is no class", classes, height, width, threads);
    overlay::run_cpu({{image.data(), {height, width, 3}},
                      {labels.data(), {height, width}},
                      {colors.data(), {256, 3}},
                      0.0f,
                      {out.data(), {height, width, 3}}},
                     threads);
    expect(out.values == image.values, "overlay: opacity 0 changes the image", classes, height, width, threads);
}

/// A JPEG of random codes: mostly headers that make sense, so that the codes are read, and bytes that do not.
std::vector<std::uint8_t> random_jpeg() {
    const auto pick = [](unsigned count) { return static_cast<unsigned>(random() % count); };
    std::vector<std::uint8_t> data = {0xFF, 0xD8};
    const auto segment = [&](unsigned marker, const std::vector<std::uint8_t>& body) {
        const std::size_t length = body.size() + 2;
        data.insert(data.end(), {0xFF, static_cast<std::uint8_t>(marker), static_cast<std::uint8_t>(length >> 8),
                                 static_cast<std::uint8_t>(length)});
        data.insert(data.end(), body.begin(), body.end());
    };
    const auto byte = [](unsigned value) { return static_cast<std::uint8_t>(value); };
    for (unsigned slot = 0; slot < 4; ++slot) {
        std::vector<std::uint8_t> table = {byte((slot & 1) << 4 | slot >> 1)};
        unsigned total = 0;
        for (unsigned length = 1; length <= 16; ++length) {
            const unsigned codes = length < 3 ? pick(2) : pick(4);
            table.push_back(byte(codes));
            total += codes;
        }
        while (total-- > 0) table.push_back(byte(pick(256)));
        segment(0xC4, table);
    }
    const bool progressive = pick(2);
    const unsigned components = 1 + 2 * pick(2);
    std::vector<std::uint8_t> frame = {8, byte(pick(2)), byte(1 + pick(200)), 0, byte(1 + pick(200)), byte(components)};
    for (unsigned i = 0; i < components; ++i)
        frame.insert(frame.end(), {byte(i), byte((1 + pick(4)) << 4 | (1 + pick(4))), 0});
    segment(progressive ? 0xC2 : 0xC0, frame);
    if (pick(2)) segment(0xDD, {0, byte(1 + pick(9))});
    for (unsigned scans = 1 + pick(4); scans-- > 0;) {
        const unsigned first = progressive ? pick(64) : 0;
        const unsigned chosen = first ? 1 : components;
        std::vector<std::uint8_t> scan = {byte(chosen)};
        for (unsigned i = 0; i < chosen; ++i) scan.insert(scan.end(), {byte(i), byte(pick(2) << 4 | pick(2))});
        const unsigned last = first ? first + pick(64 - first) : progressive ? 0 : 63;
        scan.insert(scan.end(), {byte(first), byte(last), byte(pick(2) << 4)});
        segment(0xDA, scan);
        for (unsigned bytes = pick(3000); bytes-- > 0;) {
            data.push_back(byte(pick(256)));
            if (data.back() == 0xFF) data.push_back(pick(9) ? 0 : byte(0xD0 + pick(8)));
        }
    }
    for (unsigned strikes = pick(4); strikes-- > 0;) data[pick(static_cast<unsigned>(data.size()))] = byte(pick(256));
    if (pick(3) == 0) data.resize(pick(static_cast<unsigned>(data.size())));
    return data;
}

/// Where it ends is settled by real pictures in the Python suite; here, that it always does, and within its bytes.
void run_jpeg_scan(int count) {
    int damaged = 0;
    for (int i = 0; i < count; ++i) {
        const std::vector<std::uint8_t> jpeg = random_jpeg();
        Array<std::uint8_t> exact(static_cast<std::ptrdiff_t>(jpeg.size()));
        exact.values = jpeg;
        damaged += jpeg_scan::damage(exact.data(), jpeg.size()) != nullptr;
    }
    expect(damaged > count / 10, "jpeg_scan: random codes hold together", 0, damaged, count, 1);
}

}  // namespace

int main() {
    std::printf("instruction set: %s\n", dense_crf::isa().name);
    using dense_crf::Quality;
    const CrfCase cases[] = {
        {2, 1, 1},
        {3, 1, 7},
        {4, 5, 3, true},
        {5, 17, 31, false, true},
        {11, 48, 64, false, false, 3, Quality::kAccurate},
        {11, 33, 50, true, false, 1},
        {17, 20, 22, false, true, 1},
        {21, 40, 24, true, false, 3, Quality::kAccurate, 2},
        {33, 9, 13},
        {64, 12, 12, true, true},
        {150, 6, 10},
        {255, 4, 5, false, true},
        {2, 140, 190, true},
    };
    for (const int threads : {1, 2, 3, 40}) {
        for (const CrfCase& c : cases) run_dense_crf(c, threads);
        run_bilateral_filter(1, 30, 41, threads);
        run_bilateral_filter(19, 64, 48, threads);
        for (const int stride : {1, 2, 8, 32}) {
            run_picture_kernels(2, 1, 1, stride, threads);
            run_picture_kernels(11, 93, 121, stride, threads);
            run_picture_kernels(255, 40, 33, stride, threads);
            run_picture_kernels(11, 93, 121, stride, threads, {7, 50, 93});
            run_picture_kernels(3, 93, 121, stride, threads, {46, 47, 93});
            run_picture_kernels(3, 9, 11, stride, threads, {999999, 1000000, 1000000});
        }
    }
    run_jpeg_scan(3000);
    std::printf(failures ? "%d failures\n" : "all well\n", failures);
    return failures ? 1 : 0;
}
