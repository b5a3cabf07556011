#pragma once

#include <memory>
#include <vector>

#include "refine/op.h"
#include "trt/plugin.h"

namespace edgeseg::trt {

/// Refines a network's logits by the dense CRF.
///
/// Inputs: logits (N, C, h, w) at any stride, float or half; image (N, H, W, 3) RGB of 0..255, float or half.
/// Output: labels (N, H, W), whole numbers in the image's type, or marginals (N, C, H, W), float.
///
/// Fields are those of CrfParams in Python, and a field left out has its default: bilateral_sigma_xy_px (1 or 2 floats,
/// x and y, in pixels of the image), bilateral_sigma_rgb (1 or 3, in levels of 0..255), bilateral_weight,
/// spatial_sigma_px (1 or 2), spatial_weight, iterations, compatibility (C * C floats, row by row; none for Potts);
/// further terms as rows, more_bilateral (sigma x, y, red, green, blue, weight) and more_spatial (sigma x, y, weight);
/// quality ("fast" or "accurate"); output ("labels" or "marginals"); vertices (the lattice's capacity; 0: as many as
/// most pictures of that size stay under). An image that needs more vertices keeps the network's own labels.
class DenseCrfPlugin final : public Plugin<DenseCrfPlugin> {
  public:
    static constexpr const char* kName = "DenseCRF";
    static Fields fields();

    /// Throws std::invalid_argument for a value out of range.
    explicit DenseCrfPlugin(const Fields& fields);

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
    refine::Params params_of(const nvinfer1::Dims& logits, nvinfer1::DataType logits_type, const nvinfer1::Dims& image,
                             nvinfer1::DataType image_type) const;
    int vertices_for(const refine::Params& params) const;

    std::vector<dense_crf::BilateralTerm> bilateral_;
    std::vector<dense_crf::SpatialTerm> spatial_;
    std::vector<float> compatibility_;
    std::shared_ptr<const float> compatibility_on_device_;
    int iterations_;
    dense_crf::Quality quality_;
    bool marginals_;
    int vertices_;
};

}  // namespace edgeseg::trt
