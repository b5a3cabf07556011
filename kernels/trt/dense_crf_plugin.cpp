#include "trt/dense_crf_plugin.h"

#include <cuda_runtime_api.h>

#include <cmath>
#include <string>

namespace edgeseg::trt {
namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;

constexpr int kMostIterations = 1000;
constexpr int kMostVertices = 1 << 28;
constexpr int kMostImages = 1 << 20;

[[noreturn]] void refuse(const std::string& why) {
    throw std::invalid_argument(why);
}

float checked_sigma(float sigma) {
    if (!(sigma > 0) || !std::isfinite(sigma)) refuse("sigmas have to be finite and above 0");
    return sigma;
}

float checked_weight(float weight) {
    if (!std::isfinite(weight)) refuse("weights have to be finite");
    return weight;
}

/// `count` sigmas, from as many or from one for all.
std::vector<float> sigmas(const Fields& fields, const char* name, std::size_t count) {
    std::vector<float> values = fields.floats(name);
    if (values.size() == 1) values.resize(count, values[0]);
    if (values.size() != count) refuse(std::string(name) + " has to be 1 or " + std::to_string(count) + " numbers");
    return values;
}

float weight(const Fields& fields, const char* name) {
    const auto& values = fields.floats(name);
    if (values.size() != 1) refuse(std::string(name) + " has to be one number");
    return values[0];
}

/// Calls add(row) for the rows of a field.
template <class Add>
void each_row(const Fields& fields, const char* name, std::size_t columns, const Add& add) {
    const auto& values = fields.floats(name);
    if (values.size() % columns) refuse(std::string(name) + " has to be rows of " + std::to_string(columns));
    for (std::size_t i = 0; i < values.size(); i += columns) add(values.data() + i);
}

/// Which of two words a field is.
bool is_second(const Fields& fields, const char* name, const char* first, const char* second) {
    const std::string& text = fields.text(name);
    if (text != first && text != second) refuse(std::string(name) + " has to be " + first + " or " + second);
    return text == second;
}

void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
}

std::shared_ptr<const float> copied_to_device(const std::vector<float>& values) {
    const std::size_t bytes = values.size() * sizeof(float);
    void* data = nullptr;
    check(cudaMalloc(&data, bytes));
    std::shared_ptr<const float> owner(static_cast<const float*>(data),
                                       [](const float* data) { cudaFree(const_cast<float*>(data)); });
    check(cudaMemcpy(data, values.data(), bytes, cudaMemcpyHostToDevice));
    return owner;
}

}  // namespace

Fields DenseCrfPlugin::fields() {
    using Floats = std::vector<float>;
    using Integers = std::vector<std::int32_t>;
    return {{"bilateral_sigma_xy_px", Floats{80}},
            {"bilateral_sigma_rgb", Floats{13}},
            {"bilateral_weight", Floats{10}},
            {"spatial_sigma_px", Floats{3}},
            {"spatial_weight", Floats{3}},
            {"iterations", Integers{5}},
            {"compatibility", Floats{}},
            {"more_bilateral", Floats{}},
            {"more_spatial", Floats{}},
            {"quality", "fast"},
            {"output", "labels"},
            {"vertices", Integers{0}}};
}

DenseCrfPlugin::DenseCrfPlugin(const Fields& fields)
    : Plugin(fields),
      compatibility_(fields.floats("compatibility")),
      iterations_(fields.integer("iterations", 0, kMostIterations)),
      quality_(is_second(fields, "quality", "fast", "accurate") ? dense_crf::Quality::kAccurate
                                                                : dense_crf::Quality::kFast),
      marginals_(is_second(fields, "output", "labels", "marginals")),
      vertices_(fields.integer("vertices", 0, kMostVertices)) {
    const auto add_bilateral = [&](const float* row) {
        for (int i = 0; i < 5; ++i) checked_sigma(row[i]);
        if (checked_weight(row[5]) != 0) bilateral_.push_back({row[0], row[1], {row[2], row[3], row[4]}, row[5]});
    };
    const auto add_spatial = [&](const float* row) {
        for (int i = 0; i < 2; ++i) checked_sigma(row[i]);
        if (checked_weight(row[2]) != 0) spatial_.push_back({row[0], row[1], row[2]});
    };
    const auto xy = sigmas(fields, "bilateral_sigma_xy_px", 2), rgb = sigmas(fields, "bilateral_sigma_rgb", 3);
    const float bilateral[] = {xy[0], xy[1], rgb[0], rgb[1], rgb[2], weight(fields, "bilateral_weight")};
    add_bilateral(bilateral);
    const auto px = sigmas(fields, "spatial_sigma_px", 2);
    const float spatial[] = {px[0], px[1], weight(fields, "spatial_weight")};
    add_spatial(spatial);
    each_row(fields, "more_bilateral", 6, add_bilateral);
    each_row(fields, "more_spatial", 3, add_spatial);
    if (bilateral_.size() > dense_crf::kMaxTerms || spatial_.size() > dense_crf::kMaxTerms) {
        refuse("there may be at most 8 terms of either kind");
    }
    for (const float cost : compatibility_) {
        if (!std::isfinite(cost)) refuse("compatibility has to be finite");
    }
}

bool DenseCrfPlugin::supportsFormatCombination(std::int32_t pos, const DynamicPluginTensorDesc* in_out, std::int32_t,
                                               std::int32_t) noexcept {
    if (!is_real(in_out[pos].desc)) return false;
    if (pos < 2) return true;
    return in_out[pos].desc.type == (marginals_ ? DataType::kFLOAT : in_out[1].desc.type);
}

std::int32_t DenseCrfPlugin::getOutputDataTypes(DataType* outputs, std::int32_t, const DataType* inputs,
                                                std::int32_t input_count) const noexcept {
    if (input_count != 2) return 1;
    outputs[0] = marginals_ ? DataType::kFLOAT : inputs[1];
    return 0;
}

std::int32_t DenseCrfPlugin::getOutputShapes(const nvinfer1::DimsExprs* inputs, std::int32_t input_count,
                                             const nvinfer1::DimsExprs*, std::int32_t, nvinfer1::DimsExprs* outputs,
                                             std::int32_t, nvinfer1::IExprBuilder&) noexcept {
    if (input_count != 2 || inputs[0].nbDims != 4 || inputs[1].nbDims != 4) {
        log_error(kName, "the inputs have to be logits (N, C, h, w) and an image (N, H, W, 3)");
        return 1;
    }
    nvinfer1::DimsExprs& output = outputs[0];
    output.nbDims = 0;
    output.d[output.nbDims++] = inputs[0].d[0];
    if (marginals_) output.d[output.nbDims++] = inputs[0].d[1];
    output.d[output.nbDims++] = inputs[1].d[1];
    output.d[output.nbDims++] = inputs[1].d[2];
    return 0;
}

std::int32_t DenseCrfPlugin::configurePlugin(const DynamicPluginTensorDesc* inputs, std::int32_t,
                                             const DynamicPluginTensorDesc*, std::int32_t) noexcept {
    return logged(kName, 1, [&] {
        // The workspace grows with H and W, but not evenly with C.
        if (inputs[0].min.d[1] != inputs[0].max.d[1]) refuse("the number of classes has to be fixed");
        const refine::Params params = params_of(inputs[0].max, inputs[0].desc.type, inputs[1].max, inputs[1].desc.type);
        if (!dense_crf::fits(refine::crf_of_one_image(params))) {
            refuse("bilateral sigmas are too small for an image of this size");
        }
        return 0;
    });
}

std::size_t DenseCrfPlugin::getWorkspaceSize(const DynamicPluginTensorDesc* inputs, std::int32_t,
                                             const DynamicPluginTensorDesc*, std::int32_t) const noexcept {
    return logged(kName, std::size_t{0}, [&] {
        const refine::Params params = params_of(inputs[0].max, inputs[0].desc.type, inputs[1].max, inputs[1].desc.type);
        return refine::workspace_bytes(params, vertices_for(params));
    });
}

std::int32_t DenseCrfPlugin::onShapeChange(const PluginTensorDesc*, std::int32_t, const PluginTensorDesc*,
                                           std::int32_t) noexcept {
    return logged(kName, 1, [&] {
        if (!compatibility_.empty() && !compatibility_on_device_) {
            compatibility_on_device_ = copied_to_device(compatibility_);
        }
        return 0;
    });
}

std::int32_t DenseCrfPlugin::enqueue(const PluginTensorDesc* inputs, const PluginTensorDesc*,
                                     const void* const* input_data, void* const* output_data, void* workspace,
                                     cudaStream_t stream) noexcept {
    return logged(kName, 1, [&] {
        refine::Params params = params_of(inputs[0].dims, inputs[0].type, inputs[1].dims, inputs[1].type);
        if (inputs[0].dims.d[0] != inputs[1].dims.d[0]) refuse("there have to be as many images as logits");
        if (!compatibility_.empty() && !compatibility_on_device_) refuse("enqueue came before onShapeChange");
        params.logits = input_data[0];
        params.image = input_data[1];
        params.crf.compatibility = compatibility_on_device_.get();
        if (marginals_) {
            params.marginals = {static_cast<float*>(output_data[0]),
                                {params.logits_size[0], params.logits_size[1], params.height, params.width}};
        } else {
            params.labels = output_data[0];
        }
        refine::run_cuda(params, workspace, vertices_for(params), stream);
        return 0;
    });
}

refine::Params DenseCrfPlugin::params_of(const Dims& logits, DataType logits_type, const Dims& image,
                                         DataType image_type) const {
    if (logits.nbDims != 4 || image.nbDims != 4 || image.d[3] != 3) {
        refuse("the inputs have to be logits (N, C, h, w) and an image (N, H, W, 3)");
    }
    refine::Params params;
    params.logits_type = real_of(logits_type);
    params.logits_size[0] = side(logits, 0, kMostImages);
    params.logits_size[1] = side(logits, 1, dense_crf::kMaxClasses);
    params.logits_size[2] = side(logits, 2, dense_crf::kMaxSide);
    params.logits_size[3] = side(logits, 3, dense_crf::kMaxSide);
    params.image_type = real_of(image_type);
    params.height = side(image, 1, dense_crf::kMaxSide);
    params.width = side(image, 2, dense_crf::kMaxSide);
    const auto classes = static_cast<std::size_t>(params.logits_size[1]);
    if (classes < 2) refuse("there have to be at least 2 classes");
    if (!compatibility_.empty() && compatibility_.size() != classes * classes) {
        refuse("compatibility is for another number of classes");
    }
    params.crf.bilateral = bilateral_.data();
    params.crf.bilateral_count = static_cast<int>(bilateral_.size());
    params.crf.spatial = spatial_.data();
    params.crf.spatial_count = static_cast<int>(spatial_.size());
    params.crf.compatibility = compatibility_.empty() ? nullptr : compatibility_.data();
    params.crf.iterations = iterations_;
    params.crf.quality = quality_;
    return params;
}

int DenseCrfPlugin::vertices_for(const refine::Params& params) const {
    return vertices_ ? vertices_ : dense_crf::usual_vertices(refine::crf_of_one_image(params));
}

}  // namespace edgeseg::trt
