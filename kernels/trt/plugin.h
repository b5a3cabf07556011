#pragma once

#include <NvInferRuntime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "convert/op.h"
#include "trt/fields.h"
#include "trt/log.h"

/// What the plugins answer alike. One source serves TensorRT 10.0 to 11.x: only what 10.0's headers have is used.
namespace edgeseg::trt {

inline constexpr const char* kNamespace = "edgeseg";
inline constexpr const char* kVersion = "1";

/// Floats or halves, densely packed. TensorRT gives plugins no bytes: its headers say of a plugin's tensors that
/// kBOOL and kUINT8 are not supported, and of kUINT8 that it converts to and from kFLOAT and kHALF alone. kINT8 would
/// need a scale. So images come in, and labels go out, as whole numbers in one of these two, which hold 0..255 exactly.
inline bool is_real(const nvinfer1::PluginTensorDesc& desc) {
    return desc.format == nvinfer1::TensorFormat::kLINEAR &&
           (desc.type == nvinfer1::DataType::kFLOAT || desc.type == nvinfer1::DataType::kHALF);
}

inline convert::Real real_of(nvinfer1::DataType type) {
    return type == nvinfer1::DataType::kHALF ? convert::Real::kHalf : convert::Real::kFloat;
}

/// A tensor's size along an axis. Throws std::invalid_argument where it is not from 1 to `most`.
inline int side(const nvinfer1::Dims& dims, int axis, int most) {
    if (dims.d[axis] < 1 || dims.d[axis] > most) throw std::invalid_argument("a tensor has a size out of range");
    return static_cast<int>(dims.d[axis]);
}

/// A plugin. `Own` has kName, fields(), and a constructor from Fields, and answers the rest.
template <class Own>
class Plugin : public nvinfer1::IPluginV3,
               public nvinfer1::IPluginV3OneCore,
               public nvinfer1::IPluginV3OneBuild,
               public nvinfer1::IPluginV3OneRuntime {
  public:
    explicit Plugin(const Fields& fields) : fields_(fields), description_(fields.description()) {}

    nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept final {
        switch (type) {
            case nvinfer1::PluginCapabilityType::kCORE:
                return static_cast<nvinfer1::IPluginV3OneCore*>(this);
            case nvinfer1::PluginCapabilityType::kBUILD:
                return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
            case nvinfer1::PluginCapabilityType::kRUNTIME:
                return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }
    nvinfer1::IPluginV3* clone() noexcept final {
        return logged<nvinfer1::IPluginV3*>(Own::kName, nullptr, [&] { return new Own(fields_); });
    }

    const char* getPluginName() const noexcept final { return Own::kName; }
    const char* getPluginVersion() const noexcept final { return kVersion; }
    const char* getPluginNamespace() const noexcept final { return kNamespace; }

    std::int32_t getNbOutputs() const noexcept final { return 1; }
    const char* getMetadataString() noexcept final { return description_.c_str(); }

    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept final { return clone(); }
    const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept final {
        return logged<const nvinfer1::PluginFieldCollection*>(Own::kName, nullptr,
                                                              [&] { return fields_.collection(); });
    }

  private:
    Fields fields_;
    std::string description_;
};

template <class Own>
class Creator : public nvinfer1::IPluginCreatorV3One {
  public:
    nvinfer1::IPluginV3* createPlugin(const char*, const nvinfer1::PluginFieldCollection* given,
                                      nvinfer1::TensorRTPhase) noexcept final {
        return logged<nvinfer1::IPluginV3*>(Own::kName, nullptr, [&] {
            Fields fields = Own::fields();
            if (given) fields.read(*given);
            return new Own(fields);
        });
    }
    const nvinfer1::PluginFieldCollection* getFieldNames() noexcept final { return fields_.names(); }

    const char* getPluginName() const noexcept final { return Own::kName; }
    const char* getPluginVersion() const noexcept final { return kVersion; }
    const char* getPluginNamespace() const noexcept final { return kNamespace; }

  private:
    Fields fields_ = Own::fields();
};

}  // namespace edgeseg::trt
