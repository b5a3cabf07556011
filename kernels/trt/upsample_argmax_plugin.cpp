#include "trt/upsample_argmax_plugin.h"

namespace edgeseg::trt {

using nvinfer1::DataType;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;
using upsample_argmax::kMaxSide;

namespace {

constexpr int kMostImages = 1 << 20;

}  // namespace

/// Labels as bytes, logits as floats where they are halves, and the kernel's own.
struct UpsampleArgmaxPlugin::Workspace {
    upsample_argmax::Params params;
    std::size_t logits_at = 0, labels_at = 0, own_at = 0, bytes = 0;

    Workspace(const nvinfer1::Dims& logits, DataType type, int height, int width) {
        if (logits.nbDims != 4) throw std::invalid_argument("logits have to be (N, C, h, w)");
        const int images = side(logits, 0, kMostImages);
        params.logits.size[0] = images;
        params.logits.size[1] = side(logits, 1, upsample_argmax::kMaxClasses);
        params.logits.size[2] = side(logits, 2, kMaxSide);
        params.logits.size[3] = side(logits, 3, kMaxSide);
        params.labels = {nullptr, {images, height, width}};
        if (type != DataType::kFLOAT) take(logits_at, static_cast<std::size_t>(params.logits.count()) * sizeof(float));
        take(labels_at, static_cast<std::size_t>(params.labels.count()));
        take(own_at, upsample_argmax::workspace_bytes(params));
    }

  private:
    void take(std::size_t& at, std::size_t count) {
        at = bytes;
        bytes += (count + 63) / 64 * 64;
    }
};

Fields UpsampleArgmaxPlugin::fields() {
    using Integers = std::vector<std::int32_t>;
    return {{"height", Integers{}}, {"width", Integers{}}};
}

UpsampleArgmaxPlugin::UpsampleArgmaxPlugin(const Fields& fields)
    : Plugin(fields), height_(fields.integer("height", 1, kMaxSide)), width_(fields.integer("width", 1, kMaxSide)) {}

bool UpsampleArgmaxPlugin::supportsFormatCombination(std::int32_t pos, const DynamicPluginTensorDesc* in_out,
                                                     std::int32_t, std::int32_t) noexcept {
    return is_real(in_out[pos].desc) && in_out[pos].desc.type == in_out[0].desc.type;
}

std::int32_t UpsampleArgmaxPlugin::getOutputDataTypes(DataType* outputs, std::int32_t, const DataType* inputs,
                                                      std::int32_t input_count) const noexcept {
    if (input_count != 1) return 1;
    outputs[0] = inputs[0];
    return 0;
}

std::int32_t UpsampleArgmaxPlugin::getOutputShapes(const nvinfer1::DimsExprs* inputs, std::int32_t input_count,
                                                   const nvinfer1::DimsExprs*, std::int32_t,
                                                   nvinfer1::DimsExprs* outputs, std::int32_t,
                                                   nvinfer1::IExprBuilder& expressions) noexcept {
    if (input_count != 1 || inputs[0].nbDims != 4) {
        log_error(kName, "the input has to be logits (N, C, h, w)");
        return 1;
    }
    outputs[0].nbDims = 3;
    outputs[0].d[0] = inputs[0].d[0];
    outputs[0].d[1] = expressions.constant(height_);
    outputs[0].d[2] = expressions.constant(width_);
    return 0;
}

std::int32_t UpsampleArgmaxPlugin::configurePlugin(const DynamicPluginTensorDesc* inputs, std::int32_t,
                                                   const DynamicPluginTensorDesc*, std::int32_t) noexcept {
    return logged(kName, 1, [&] {
        Workspace(inputs[0].max, inputs[0].desc.type, height_, width_);
        return 0;
    });
}

std::size_t UpsampleArgmaxPlugin::getWorkspaceSize(const DynamicPluginTensorDesc* inputs, std::int32_t,
                                                   const DynamicPluginTensorDesc*, std::int32_t) const noexcept {
    return logged(kName, std::size_t{0},
                  [&] { return Workspace(inputs[0].max, inputs[0].desc.type, height_, width_).bytes; });
}

std::int32_t UpsampleArgmaxPlugin::onShapeChange(const PluginTensorDesc*, std::int32_t, const PluginTensorDesc*,
                                                 std::int32_t) noexcept {
    return 0;
}

std::int32_t UpsampleArgmaxPlugin::enqueue(const PluginTensorDesc* inputs, const PluginTensorDesc*,
                                           const void* const* input_data, void* const* output_data, void* memory,
                                           cudaStream_t stream) noexcept {
    return logged(kName, 1, [&] {
        const Workspace workspace(inputs[0].dims, inputs[0].type, height_, width_);
        upsample_argmax::Params params = workspace.params;
        auto* const bytes = static_cast<std::byte*>(memory);
        params.labels.data = reinterpret_cast<std::uint8_t*>(bytes + workspace.labels_at);
        if (inputs[0].type == DataType::kFLOAT) {
            params.logits.data = static_cast<const float*>(input_data[0]);
        } else {
            const auto& size = params.logits.size;
            const parallel::View<float, 3> logits{reinterpret_cast<float*>(bytes + workspace.logits_at),
                                                  {size[0] * size[1], size[2], size[3]}};
            convert::to_floats(input_data[0], real_of(inputs[0].type), logits, stream);
            params.logits.data = logits.data;
        }
        upsample_argmax::run_cuda(params, bytes + workspace.own_at, stream);
        convert::from_bytes(params.labels, output_data[0], real_of(inputs[0].type), stream);
        return 0;
    });
}

}  // namespace edgeseg::trt
