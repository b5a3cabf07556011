#include <nanobind/stl/optional.h>

#include <cmath>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dense_crf/filter.h"
#include "dense_crf/isa.h"
#include "dense_crf/op.h"
#include "parallel/aligned_buffer.h"
#include "python/arrays.h"

namespace edgeseg::python {
namespace {

using namespace dense_crf;

void check_sigma(float sigma) {
    if (!(sigma > 0) || !std::isfinite(sigma)) throw nb::value_error("sigmas must be finite and above 0");
}

void check_weight(float weight) {
    if (!std::isfinite(weight)) throw nb::value_error("weights must be finite");
}

void check_size(int height, int width) {
    if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide) {
        throw nb::value_error("height and width must be from 1 to 16384");
    }
}

BilateralTerm bilateral_term(const float* row) {
    for (int k = 0; k < 5; ++k) check_sigma(row[k]);
    check_weight(row[5]);
    return {row[0], row[1], {row[2], row[3], row[4]}, row[5]};
}

constexpr const char* kTooSmall = "bilateral sigmas are too small for an image of this size";

std::vector<float> rows(const AnyArray& array, const char* name, const char* shape, std::size_t columns) {
    std::vector<float> values;
    if (array.ndim() == 2 && array.shape(0) == 0 && array.shape(1) == columns) return values;
    const auto view = input<float, 2>(array, name, shape, "float32");
    if (static_cast<std::size_t>(view.size[1]) != columns) refuse(name, shape, "float32", array);
    values.assign(view.data, view.data + view.count());
    return values;
}

template <class T, int kRank>
T* writable(const nb::object& out, const char* name, const char* shape, const char* dtype, const int (&size)[kRank]) {
    if (out.is_none()) return nullptr;
    nb::ndarray<> given;
    if (!nb::try_cast(out, given, false)) throw nb::value_error((std::string(name) + " must be writable").c_str());
    const auto view = input<T, kRank>(AnyArray(given), name, shape, dtype);
    for (int axis = 0; axis < kRank; ++axis) {
        if (view.size[axis] != size[axis]) refuse(name, shape, dtype, AnyArray(given));
    }
    return static_cast<T*>(given.data());
}

class DenseCrf {
  public:
    DenseCrf(int height, int width, int classes, const AnyArray& bilateral, const AnyArray& spatial,
             const std::optional<AnyArray>& compatibility, int iterations, bool accurate, int threads)
        : threads_(checked_threads(threads)) {
        check_size(height, width);
        if (classes < 2 || classes > kMaxClasses) throw nb::value_error("classes must be from 2 to 255");
        if (iterations < 0) throw nb::value_error("iterations must be 0 or more");
        const std::vector<float> bilateral_rows = rows(bilateral, "bilateral", "(terms, 6)", 6);
        const std::vector<float> spatial_rows = rows(spatial, "spatial", "(terms, 3)", 3);
        for (std::size_t i = 0; i < bilateral_rows.size(); i += 6) {
            bilateral_.push_back(bilateral_term(bilateral_rows.data() + i));
        }
        for (std::size_t i = 0; i < spatial_rows.size(); i += 3) {
            const float* row = spatial_rows.data() + i;
            check_sigma(row[0]);
            check_sigma(row[1]);
            check_weight(row[2]);
            spatial_.push_back({row[0], row[1], row[2]});
        }
        if (bilateral_.size() > kMaxTerms || spatial_.size() > kMaxTerms) {
            throw nb::value_error("there may be at most 8 terms of either kind");
        }
        if (compatibility) {
            const auto count = static_cast<std::size_t>(classes);
            compatibility_ = rows(*compatibility, "compatibility", "(classes, classes)", count);
            if (compatibility_.size() != count * count)
                refuse("compatibility", "(classes, classes)", "float32", *compatibility);
            for (const float cost : compatibility_) {
                if (!std::isfinite(cost)) throw nb::value_error("compatibility must be finite");
            }
        }
        params_.probabilities.size[0] = params_.image.size[0] = 1;
        params_.probabilities.size[1] = classes;
        params_.probabilities.size[2] = params_.image.size[1] = height;
        params_.probabilities.size[3] = params_.image.size[2] = width;
        params_.image.size[3] = 3;
        params_.bilateral = bilateral_.data();
        params_.bilateral_count = static_cast<int>(bilateral_.size());
        params_.spatial = spatial_.data();
        params_.spatial_count = static_cast<int>(spatial_.size());
        params_.compatibility = compatibility ? compatibility_.data() : nullptr;
        params_.iterations = iterations;
        params_.quality = accurate ? Quality::kAccurate : Quality::kFast;
        if (!fits(params_)) throw nb::value_error(kTooSmall);
        vertices_ = usual_vertices(params_);
    }

    void run(const AnyArray& probabilities, const AnyArray& image, const nb::object& labels,
             const nb::object& marginals) {
        Params params = params_;
        const int height = params.image.size[1], width = params.image.size[2];
        const auto in = input<float, 3>(probabilities, "probabilities", "(C, H, W)", "float32");
        const auto picture = input<std::uint8_t, 3>(image, "image", "(H, W, 3)", "uint8");
        if (in.size[0] != params.probabilities.size[1] || in.size[1] != height || in.size[2] != width) {
            refuse("probabilities", "(classes, height, width) of the DenseCrf", "float32", probabilities);
        }
        if (picture.size[0] != height || picture.size[1] != width || picture.size[2] != 3) {
            refuse("image", "(height, width, 3) of the DenseCrf", "uint8", image);
        }
        params.probabilities.data = in.data;
        params.image.data = picture.data;
        params.labels = {writable<std::uint8_t, 2>(labels, "labels", "(height, width)", "uint8", {height, width}),
                         {1, height, width}};
        params.marginals = {writable<float, 3>(marginals, "marginals", "(classes, height, width)", "float32",
                                               {in.size[0], height, width}),
                            {1, in.size[0], height, width}};

        const nb::gil_scoped_release release;
        const std::lock_guard lock(mutex_);
        int vertices = vertices_;
        while (!run_cpu(params, workspace_.at_least(workspace_bytes(params, vertices, threads_)), vertices, threads_)) {
            vertices = more_vertices(vertices);
        }
        vertices_ = vertices;  // last: an image that memory was too small for must not spoil the next
    }

  private:
    Params params_;
    std::vector<BilateralTerm> bilateral_;
    std::vector<SpatialTerm> spatial_;
    std::vector<float> compatibility_;
    int threads_;
    int vertices_;
    parallel::AlignedBuffer workspace_;
    std::mutex mutex_;
};

class Filter {
  public:
    Filter(int height, int width, int channels, const AnyArray& term, bool accurate, int threads)
        : size_{channels, height, width},
          filter_((check_size(height, width), height), width, checked_channels(channels), one_term(term),
                  accurate ? Quality::kAccurate : Quality::kFast, checked_threads(threads)) {
        if (!filter_.fits()) throw nb::value_error(kTooSmall);
    }

    void build(const AnyArray& image) {
        const auto picture = input<std::uint8_t, 3>(image, "image", "(H, W, 3)", "uint8");
        if (picture.size[0] != size_[1] || picture.size[1] != size_[2] || picture.size[2] != 3) {
            refuse("image", "(height, width, 3) of the filter", "uint8", image);
        }
        const nb::gil_scoped_release release;
        const std::lock_guard lock(mutex_);
        built_ = false;
        filter_.build(picture.data);
        built_ = true;
    }

    void apply(const AnyArray& values, const nb::object& out, bool transposed) {
        const auto in = input<float, 3>(values, "values", "(channels, height, width)", "float32");
        for (int axis = 0; axis < 3; ++axis) {
            if (in.size[axis] != size_[axis])
                refuse("values", "(channels, height, width) of the filter", "float32", values);
        }
        float* to = writable<float, 3>(out, "out", "(channels, height, width)", "float32", size_);
        if (!to) throw nb::value_error("out must be an array");
        const nb::gil_scoped_release release;
        const std::lock_guard lock(mutex_);
        if (!built_) throw nb::value_error("build the filter for an image first");
        filter_.apply(in.data, to, transposed);
    }

  private:
    static int checked_channels(int channels) {
        if (channels < 1 || channels > kMaxClasses) throw nb::value_error("channels must be from 1 to 255");
        return channels;
    }

    static BilateralTerm one_term(const AnyArray& term) {
        const std::vector<float> row = rows(term, "term", "(1, 6)", 6);
        if (row.size() != 6) refuse("term", "(1, 6)", "float32", term);
        return bilateral_term(row.data());
    }

    int size_[3];
    BilateralFilter filter_;
    std::mutex mutex_;
    bool built_ = false;
};

}  // namespace

void bind_dense_crf(nb::module_& module) {
    nb::class_<DenseCrf>(
        module, "DenseCrf",
        R"(Mean-field inference in a fully connected CRF; see :mod:`edgeseg.refine.crf`, which checks and explains.

Args:
    height, width: pixels.
    classes: 2 to 255.
    bilateral: (terms, 6) float32: sigma x, y in pixels, sigma of three channels in levels, weight.
    spatial: (terms, 3) float32: sigma x, y in pixels, weight.
    compatibility: (classes, classes) float32 cost of a label beside another; None for Potts.
    iterations: of mean field, 0 or more.
    accurate: several lattices and less merging of pixels.
    threads: the most to use; 0 for all cores.

Raises:
    ValueError: an argument of another shape, dtype, layout or range.)")
        .def(
            nb::init<int, int, int, const AnyArray&, const AnyArray&, const std::optional<AnyArray>&, int, bool, int>(),
            nb::arg("height"), nb::arg("width"), nb::arg("classes"), nb::arg("bilateral"), nb::arg("spatial"),
            nb::arg("compatibility").none(), nb::arg("iterations"), nb::arg("accurate"), nb::arg("threads") = 0)
        .def("run", &DenseCrf::run, nb::arg("probabilities"), nb::arg("image"), nb::arg("labels") = nb::none(),
             nb::arg("marginals") = nb::none(),
             R"(Write the labels, the marginals or both of one image.

Args:
    probabilities: (classes, height, width) float32, C-contiguous, finite.
    image: (height, width, 3) uint8, C-contiguous.
    labels: (height, width) uint8 array to write to, or None.
    marginals: (classes, height, width) float32 array to write to, or None.

Raises:
    ValueError: an argument of another shape, dtype or layout.)");
    nb::class_<Filter>(
        module, "BilateralFilter",
        R"(The filter N^-1/2 K N^-1/2 of one bilateral term, for learning; see :mod:`edgeseg.models.mean_field`.

Args:
    height, width: pixels.
    channels: of the values, 1 to 255.
    term: (1, 6) float32: sigma x, y in pixels, sigma of three channels in levels, and a weight that is not used.
    accurate: several lattices and less merging of pixels.
    threads: the most to use; 0 for all cores.

Raises:
    ValueError: an argument of another shape, dtype, layout or range.)")
        .def(nb::init<int, int, int, const AnyArray&, bool, int>(), nb::arg("height"), nb::arg("width"),
             nb::arg("channels"), nb::arg("term"), nb::arg("accurate"), nb::arg("threads") = 0)
        .def("build", &Filter::build, nb::arg("image"), "Prepare for an image, (height, width, 3) uint8, C-contiguous.")
        .def("apply", &Filter::apply, nb::arg("values"), nb::arg("out"), nb::arg("transposed") = false,
             "Filter (channels, height, width) float32 values into ``out``, an array alike; or by the transpose.");
    module.def("dense_crf_isa", [] { return isa().name; }, "The instruction set that DenseCrf runs on here.");
}

}  // namespace edgeseg::python
