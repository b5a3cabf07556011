/// Compares the dense CRF's CUDA driver with the CPU's and times it: also an example of how op_cuda.h is used.

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "bench/bench.h"
#include "bench/device.h"
#include "dense_crf/op.h"
#include "dense_crf/op_cuda.h"
#include "parallel/aligned_buffer.h"
#include "parallel/thread_pool.h"

namespace edgeseg::bench {
namespace {

using dense_crf::Params;
using dense_crf::Quality;
using dense_crf::Storage;

/// What the mean difference of marginals may be: the CPU merges pixels, and halves are rounded.
constexpr double kMostDifference = 1e-3;

constexpr int kTimedRuns = 50;

/// Probabilities (C, H, W) and an image (H, W, 3): soft colours and classes, with noise.
struct Scene {
    std::vector<float> probabilities;
    std::vector<std::uint8_t> image;

    Scene(int classes, int height, int width) : probabilities(static_cast<std::size_t>(classes) * height * width) {
        std::mt19937 random(7);
        std::uniform_real_distribution<float> noise(0, 1);
        const auto wave = [](int x, int y, int phase) {
            return std::sin(0.03f * static_cast<float>(x) + static_cast<float>(phase)) *
                   std::cos(0.02f * static_cast<float>(y) + 2 * static_cast<float>(phase));
        };
        const std::size_t pixels = static_cast<std::size_t>(height) * width;
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                for (int c = 0; c < 3; ++c) {
                    image.push_back(static_cast<std::uint8_t>(120 + 100 * wave(x, y, c) + 12 * noise(random)));
                }
                float* of_pixel = probabilities.data() + static_cast<std::size_t>(y) * width + x;
                float sum = 0;
                for (int k = 0; k < classes; ++k) {
                    const float logit = 2 * wave(x * (1 + k % 5), y, k) + 1.5f * noise(random);
                    sum += of_pixel[k * pixels] = std::exp(logit);
                }
                for (int k = 0; k < classes; ++k) of_pixel[k * pixels] /= sum;
            }
        }
    }
};

class Stream {
  public:
    Stream() { check(cudaStreamCreate(&stream_)); }
    Stream(const Stream&) = delete;
    ~Stream() { cudaStreamDestroy(stream_); }
    operator cudaStream_t() const { return stream_; }

  private:
    cudaStream_t stream_ = nullptr;
};

/// The driver on arrays that stay where they are.
class CudaCrf {
  public:
    /// `params` holds device memory. Runs until the workspace is large enough.
    CudaCrf(const Params& params, Storage storage, cudaStream_t stream)
        : params_(params), storage_(storage), stream_(stream), vertices_(dense_crf::usual_vertices(params)) {
        for (;; vertices_ *= 2) {
            workspace_ = {};  // first, so that old and new are never held together
            workspace_ = DeviceMemory(dense_crf::workspace_bytes_cuda(params_, vertices_, storage_));
            enqueue();
            if (!overflowed()) return;
        }
    }

    /// New pixels may lie in the arrays each time.
    void enqueue() const { dense_crf::run_cuda(params_, workspace_.data(), vertices_, storage_, stream_); }

    /// Waits for the last run. One that has overflowed has to be done again with more vertices.
    bool overflowed() const {
        int overflow = 0;
        check(cudaMemcpyAsync(&overflow, dense_crf::overflow_flag(workspace_.data()), sizeof overflow,
                              cudaMemcpyDeviceToHost, stream_));
        check(cudaStreamSynchronize(stream_));
        return overflow != 0;
    }

    int vertices() const { return vertices_; }

  private:
    Params params_;
    Storage storage_;
    cudaStream_t stream_;
    int vertices_;
    DeviceMemory workspace_;
};

/// What `crf` enqueues, recorded. Other sizes, terms or a larger workspace need a new one.
class Graph {
  public:
    Graph(const CudaCrf& crf, cudaStream_t stream) : stream_(stream) {
        cudaGraph_t graph = nullptr;
        check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        crf.enqueue();
        check(cudaStreamEndCapture(stream, &graph));
        check(cudaGraphInstantiate(&executable_, graph, 0));
        check(cudaGraphDestroy(graph));
    }
    Graph(const Graph&) = delete;
    ~Graph() { cudaGraphExecDestroy(executable_); }

    void launch() const { check(cudaGraphLaunch(executable_, stream_)); }

  private:
    cudaStream_t stream_;
    cudaGraphExec_t executable_ = nullptr;
};

/// The mean time of a call, by the device's clock.
template <class Call>
float mean_ms(cudaStream_t stream, const Call& call) {
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin));
    check(cudaEventCreate(&end));
    call();
    check(cudaEventRecord(begin, stream));
    for (int i = 0; i < kTimedRuns; ++i) call();
    check(cudaEventRecord(end, stream));
    check(cudaEventSynchronize(end));
    float time_ms = 0;
    check(cudaEventElapsedTime(&time_ms, begin, end));
    check(cudaEventDestroy(begin));
    check(cudaEventDestroy(end));
    return time_ms / kTimedRuns;
}

void run_on_cpu(const Params& params) {
    const int threads = std::min(4, parallel::thread_count(0));  // each has a copy of the lattices: few, for memory
    parallel::AlignedBuffer workspace;
    int vertices = dense_crf::usual_vertices(params);
    while (!dense_crf::run_cpu(params, workspace.at_least(dense_crf::workspace_bytes(params, vertices, threads)),
                               vertices, threads)) {
        vertices *= 2;
    }
}

/// Returns whether CUDA agrees with `expected`, the CPU's results, and with itself. `host` holds the input.
bool compare(const Params& host, const std::vector<float>& expected, const std::vector<std::uint8_t>& expected_labels,
             Storage storage) {
    const Stream stream;
    const Device probabilities(host.probabilities);
    const Device image(host.image);
    const Device labels(host.labels);
    const Device marginals(host.marginals);
    Params params = host;
    params.probabilities = probabilities.view;
    params.image = image.view;
    params.labels = labels.view;
    params.marginals = marginals.view;

    const CudaCrf crf(params, storage, stream);
    std::vector<float> plain(expected.size()), in_graph(expected.size());
    std::vector<std::uint8_t> found_labels(expected_labels.size());
    marginals.copy_to(plain.data());
    labels.copy_to(found_labels.data());
    const Graph graph(crf, stream);
    check(cudaMemsetAsync(params.marginals.data, 0, plain.size() * sizeof(float), stream));
    graph.launch();
    const bool fits = !crf.overflowed();
    marginals.copy_to(in_graph.data());

    double sum = 0;
    for (std::size_t i = 0; i < plain.size(); ++i) sum += std::fabs(static_cast<double>(plain[i]) - expected[i]);
    const double mean = sum / static_cast<double>(plain.size());
    std::size_t other_labels = 0;
    for (std::size_t i = 0; i < found_labels.size(); ++i) other_labels += found_labels[i] != expected_labels[i];
    const bool same = in_graph == plain;
    const bool agrees = mean <= kMostDifference && same && fits;

    const float graph_ms = mean_ms(stream, [&] { graph.launch(); });
    const float plain_ms = mean_ms(stream, [&] { crf.enqueue(); });
    std::printf(
        "  CUDA, %-8s %-5s %8d vertices: %7.3f ms in a graph, %7.3f ms launched; mean |dQ| %.1e, %.2f %% other labels, "
        "%s again%s\n",
        host.quality == Quality::kAccurate ? "accurate" : "fast", storage == Storage::kHalf ? "half" : "float",
        crf.vertices(), graph_ms, plain_ms, mean,
        100 * static_cast<double>(other_labels) / static_cast<double>(found_labels.size()),
        same ? "same bits" : "OTHER BITS", agrees ? "" : ": FAILED");
    return agrees;
}

}  // namespace

int run_dense_crf_cuda(int classes, int height, int width) {
    const Scene scene(classes, height, width);
    std::vector<float> marginals(scene.probabilities.size());
    std::vector<std::uint8_t> labels(static_cast<std::size_t>(height) * width);
    const dense_crf::BilateralTerm bilateral;
    const dense_crf::SpatialTerm spatial;
    Params params;
    params.probabilities = {scene.probabilities.data(), {1, classes, height, width}};
    params.image = {scene.image.data(), {1, height, width, 3}};
    params.bilateral = &bilateral;
    params.bilateral_count = 1;
    params.spatial = &spatial;
    params.spatial_count = 1;
    params.labels = {labels.data(), {1, height, width}};
    params.marginals = {marginals.data(), {1, classes, height, width}};

    std::printf("dense CRF, %d classes, %dx%d, %d iterations\n", classes, height, width, params.iterations);
    int failures = 0;
    for (const Quality quality : {Quality::kFast, Quality::kAccurate}) {
        params.quality = quality;
        run_on_cpu(params);
        for (const Storage storage : {Storage::kFloat, Storage::kHalf}) {
            failures += !compare(params, marginals, labels, storage);
        }
    }
    return failures;
}

}  // namespace edgeseg::bench
