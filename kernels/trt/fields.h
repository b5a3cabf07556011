#pragma once

#include <NvInferRuntime.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace edgeseg::trt {

/// The fields of a plugin by name, with the values of a node or else defaults. An engine stores them as a node gives
/// them: there is one way to read both.
class Fields {
  public:
    using Value = std::variant<std::vector<float>, std::vector<std::int32_t>, std::string>;

    /// Names have to live for as long as the library is loaded. An empty value means that there is none.
    Fields(std::initializer_list<std::pair<const char*, Value>> defaults) : fields_(defaults.begin(), defaults.end()) {}

    /// Takes the values given; others keep their defaults. Throws std::invalid_argument for a name that is not among
    /// the fields and for a value of another type.
    void read(const nvinfer1::PluginFieldCollection& given);

    const std::vector<float>& floats(const char* name) const { return std::get<std::vector<float>>(value(name)); }
    const std::string& text(const char* name) const { return std::get<std::string>(value(name)); }

    /// Throws std::invalid_argument where the field is not one number from `least` to `most`.
    std::int32_t integer(const char* name, std::int32_t least, std::int32_t most) const;

    /// "name=value, value; ..." of the fields that have a value.
    std::string description() const;

    /// The fields that have a value, in memory that is good until the fields change or this is called again.
    const nvinfer1::PluginFieldCollection* collection();

    /// Names and types alone, of all fields.
    const nvinfer1::PluginFieldCollection* names();

  private:
    const Value& value(const char* name) const;
    const nvinfer1::PluginFieldCollection* listed(bool with_values);

    std::vector<std::pair<const char*, Value>> fields_;
    std::vector<nvinfer1::PluginField> list_;
    nvinfer1::PluginFieldCollection collection_ = {};
};

}  // namespace edgeseg::trt
