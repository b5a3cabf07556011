#pragma once

#include "trt/plugin.h"
#include "upsample_argmax/op.h"

namespace edgeseg::trt {

/// Labels from logits in one step: bilinear interpolation to the target size, then the argmax over the classes.
///
/// Input: logits (N, C, h, w), float or half. Output: labels (N, H, W), whole numbers in the logits' type.
///
/// Fields: height and width, H and W of the labels.
class UpsampleArgmaxPlugin final : public Plugin<UpsampleArgmaxPlugin> {
  public:
    static constexpr const char* kName = "UpsampleArgmax";
    static Fields fields();

    /// Throws std::invalid_argument for a value out of range.
    explicit UpsampleArgmaxPlugin(const Fields& fields);

    bool supportsFormatCombination(std::int32_t pos, const nvinfer1::DynamicPluginTensorDesc* in_out,
                                   std::int32_t inputs, std::int32_t outputs) noexcept override;
    std::int32_t getOutputDataTypes(nvinfer1::DataType* outputs, std::int32_t output_count,
                                    const nvinfer1::DataType* inputs, std::int32_t input_count) const noexcept override;
    std::int32_t getOutputShapes(const nvinfer1::DimsExprs* inputs, std::int32_t input_count,
                                 const nvinfer1::DimsExprs* shape_inputs, std::int32_t shape_input_count,
                                 nvinfer1::DimsExprs* outputs, std::int32_t output_count,
                                 nvinfer1::IExprBuilder& expressions) noexcept override;
    std::int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* inputs, std::int32_t input_count,
                                 const nvinfer1::DynamicPluginTensorDesc* outputs,
                                 std::int32_t output_count) noexcept override;
    std::size_t getWorkspaceSize(const nvinfer1::DynamicPluginTensorDesc* inputs, std::int32_t input_count,
                                 const nvinfer1::DynamicPluginTensorDesc* outputs,
                                 std::int32_t output_count) const noexcept override;
    std::int32_t onShapeChange(const nvinfer1::PluginTensorDesc* inputs, std::int32_t input_count,
                               const nvinfer1::PluginTensorDesc* outputs, std::int32_t output_count) noexcept override;
    std::int32_t enqueue(const nvinfer1::PluginTensorDesc* inputs, const nvinfer1::PluginTensorDesc* outputs,
                         const void* const* input_data, void* const* output_data, void* workspace,
                         cudaStream_t stream) noexcept override;

  private:
    struct Workspace;

    int height_, width_;
};

}  // namespace edgeseg::trt
