#include "bench/dense_crf_exact.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "parallel/for_each.h"

namespace {

using edgeseg::parallel::for_each;

/// C planes of N values.
template <class T>
struct Planes {
    int count;
    std::ptrdiff_t size;
    std::vector<T> values;

    Planes(int count, std::ptrdiff_t size) : count(count), size(size), values(static_cast<std::size_t>(count * size)) {}

    T* operator[](int plane) { return values.data() + plane * size; }
    const T* operator[](int plane) const { return values.data() + plane * size; }
};

constexpr int kFeatures = 5;
constexpr double kLeastProbability = 1e-5;

/// x, y and colours in sigmas.
Planes<float> features_of(const float* term, int height, int width, const std::uint8_t* image) {
    Planes<float> features(kFeatures, static_cast<std::ptrdiff_t>(height) * width);
    for (std::ptrdiff_t i = 0; i < features.size; ++i) {
        features[0][i] = static_cast<float>(i % width) / term[0];
        features[1][i] = static_cast<float>(i / width) / term[1];
        for (int c = 0; c < 3; ++c) features[2 + c][i] = static_cast<float>(image[3 * i + c]) / term[2 + c];
    }
    return features;
}

/// sums_i = sum_j exp(-1/2 |f_i - f_j|^2) values_j. Sums of kBlock terms are float32, sums of those float64. Pixels i
/// are taken in blocks too, so that the features and values of a block of pixels j are read from the cache.
void sum_over_pairs(const Planes<float>& features, const Planes<float>& values, int threads, Planes<double>& sums) {
    constexpr std::ptrdiff_t kBlock = 512;
    const std::ptrdiff_t pixels = features.size;
    std::fill(sums.values.begin(), sums.values.end(), 0.0);
    for_each((pixels + kBlock - 1) / kBlock, threads, [&](std::ptrdiff_t block) {
        const std::ptrdiff_t begin = block * kBlock;
        const std::ptrdiff_t end = std::min(pixels, begin + kBlock);
        for (std::ptrdiff_t from = 0; from < pixels; from += kBlock) {
            const std::ptrdiff_t count = std::min(kBlock, pixels - from);
            for (std::ptrdiff_t i = begin; i < end; ++i) {
                alignas(64) std::array<float, kBlock> kernel;
                for (std::ptrdiff_t j = 0; j < count; ++j) {
                    float distance = 0;
                    for (int d = 0; d < kFeatures; ++d) {
                        const float apart = features[d][from + j] - features[d][i];
                        distance += apart * apart;
                    }
                    kernel[j] = std::exp(-0.5f * distance);
                }
                for (int c = 0; c < values.count; ++c) {
                    const float* there = values[c] + from;
                    float sum = 0;
                    for (std::ptrdiff_t j = 0; j < count; ++j) sum += kernel[j] * there[j];
                    sums[c][i] += sum;
                }
            }
        }
    });
}

class BilateralFilter {
  public:
    BilateralFilter(const float* term, int height, int width, const std::uint8_t* image, int threads)
        : features_(features_of(term, height, width, image)), scale_(features_.size), threads_(threads) {
        Planes<float> ones(1, features_.size);
        std::fill(ones.values.begin(), ones.values.end(), 1.0f);
        Planes<double> sums(1, features_.size);
        sum_over_pairs(features_, ones, threads, sums);
        for (std::ptrdiff_t i = 0; i < features_.size; ++i) scale_[i] = 1 / std::sqrt(sums[0][i]);
    }

    /// messages += weight * N^-1/2 K N^-1/2 q.
    void add(double weight, const Planes<double>& q, Planes<double>& messages) const {
        Planes<float> scaled(q.count, q.size);
        for (int c = 0; c < q.count; ++c) {
            for (std::ptrdiff_t i = 0; i < q.size; ++i) scaled[c][i] = static_cast<float>(scale_[i] * q[c][i]);
        }
        Planes<double> sums(q.count, q.size);
        sum_over_pairs(features_, scaled, threads_, sums);
        for (int c = 0; c < q.count; ++c) {
            for (std::ptrdiff_t i = 0; i < q.size; ++i) messages[c][i] += weight * scale_[i] * sums[c][i];
        }
    }

  private:
    Planes<float> features_;
    std::vector<double> scale_;
    int threads_;
};

/// N^-1/2 K N^-1/2 along one axis. The kernel over the plane is the product of those over x and y, and so is N.
Planes<double> axis_matrix(double sigma, int size) {
    Planes<double> matrix(size, size);
    std::vector<double> scale(size);
    for (int i = 0; i < size; ++i) {
        double sum = 0;
        for (int j = 0; j < size; ++j) sum += matrix[i][j] = std::exp(-0.5 * (i - j) * (i - j) / (sigma * sigma));
        scale[i] = 1 / std::sqrt(sum);
    }
    for (int i = 0; i < size; ++i) {
        for (int j = 0; j < size; ++j) matrix[i][j] *= scale[i] * scale[j];
    }
    return matrix;
}

class SpatialFilter {
  public:
    SpatialFilter(const float* term, int height, int width, int threads)
        : along_x_(axis_matrix(term[0], width)), along_y_(axis_matrix(term[1], height)), threads_(threads) {}

    /// messages += weight * N^-1/2 K N^-1/2 q.
    void add(double weight, const Planes<double>& q, Planes<double>& messages) const {
        const int height = along_y_.count, width = along_x_.count;
        for_each(q.count, threads_, [&](std::ptrdiff_t c) {
            Planes<double> rows(height, width);
            for (int y = 0; y < height; ++y) {
                for (int from = 0; from < width; ++from) {
                    const double value = q[static_cast<int>(c)][static_cast<std::ptrdiff_t>(y) * width + from];
                    for (int x = 0; x < width; ++x) rows[y][x] += value * along_x_[from][x];
                }
            }
            for (int y = 0; y < height; ++y) {
                double* to = messages[static_cast<int>(c)] + static_cast<std::ptrdiff_t>(y) * width;
                for (int from = 0; from < height; ++from) {
                    const double factor = weight * along_y_[y][from];
                    for (int x = 0; x < width; ++x) to[x] += factor * rows[from][x];
                }
            }
        });
    }

  private:
    Planes<double> along_x_;
    Planes<double> along_y_;
    int threads_;
};

/// The message of each class: what it costs to be that class beside what the neighbours are.
void subtract_costs(const float* compatibility, const Planes<double>& messages, Planes<double>& logits) {
    for (int to = 0; to < logits.count; ++to) {
        for (int from = 0; from < logits.count; ++from) {
            const double cost = compatibility ? compatibility[to * logits.count + from] : to != from;
            for (std::ptrdiff_t i = 0; i < logits.size; ++i) logits[to][i] -= cost * messages[from][i];
        }
    }
}

void softmax(const Planes<double>& logits, Planes<double>& q) {
    for (std::ptrdiff_t i = 0; i < logits.size; ++i) {
        double high = logits[0][i];
        for (int c = 1; c < logits.count; ++c) high = std::max(high, logits[c][i]);
        double sum = 0;
        for (int c = 0; c < logits.count; ++c) sum += q[c][i] = std::exp(logits[c][i] - high);
        for (int c = 0; c < logits.count; ++c) q[c][i] /= sum;
    }
}

}  // namespace

void edgeseg_dense_crf_exact(int classes, int height, int width, const float* probabilities, const std::uint8_t* image,
                             const float* bilateral, int bilateral_count, const float* spatial, int spatial_count,
                             const float* compatibility, int iterations, int threads, float* marginals) {
    const int most_threads = edgeseg::parallel::thread_count(threads);
    std::vector<BilateralFilter> bilateral_filters;
    for (int t = 0; t < bilateral_count; ++t) {
        bilateral_filters.emplace_back(bilateral + 6 * t, height, width, image, most_threads);
    }
    std::vector<SpatialFilter> spatial_filters;
    for (int t = 0; t < spatial_count; ++t) spatial_filters.emplace_back(spatial + 3 * t, height, width, most_threads);

    Planes<double> unaries(classes, static_cast<std::ptrdiff_t>(height) * width);
    for (std::size_t i = 0; i < unaries.values.size(); ++i) {
        unaries.values[i] = std::log(std::max<double>(probabilities[i], kLeastProbability));
    }
    Planes<double> q = unaries;
    softmax(unaries, q);
    for (int iteration = 0; iteration < iterations; ++iteration) {
        Planes<double> messages(classes, q.size);
        for (int t = 0; t < bilateral_count; ++t) bilateral_filters[t].add(bilateral[6 * t + 5], q, messages);
        for (int t = 0; t < spatial_count; ++t) spatial_filters[t].add(spatial[3 * t + 2], q, messages);
        Planes<double> logits = unaries;
        subtract_costs(compatibility, messages, logits);
        softmax(logits, q);
    }
    std::copy(q.values.begin(), q.values.end(), marginals);
}
