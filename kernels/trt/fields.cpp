#include "trt/fields.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace edgeseg::trt {
namespace {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

PluginFieldType type_of(const Fields::Value& value) {
    constexpr PluginFieldType kTypes[] = {PluginFieldType::kFLOAT32, PluginFieldType::kINT32, PluginFieldType::kCHAR};
    return kTypes[value.index()];
}

[[noreturn]] void refuse(const char* name, const std::string& why) {
    throw std::invalid_argument(std::string("field ") + name + " " + why);
}

template <class T>
void assign(std::vector<T>& to, const PluginField& field) {
    const auto* from = static_cast<const T*>(field.data);
    to.assign(from, from + field.length);
}

/// Some writers count the zero at a string's end, others do not.
void assign(std::string& to, const PluginField& field) {
    const auto* from = static_cast<const char*>(field.data);
    to.assign(from, strnlen(from, static_cast<std::size_t>(field.length)));
}

std::string text_of(const std::string& text) {
    return text;
}

template <class T>
std::string text_of(const std::vector<T>& values) {
    std::string text;
    for (const T value : values) {
        char number[32];
        std::snprintf(number, sizeof number, "%.9g", static_cast<double>(value));  // digits that tell floats apart
        text += (text.empty() ? "" : ", ") + std::string(number);
    }
    return text;
}

}  // namespace

void Fields::read(const nvinfer1::PluginFieldCollection& given) {
    for (int i = 0; i < given.nbFields; ++i) {
        const PluginField& field = given.fields[i];
        const auto own = std::find_if(fields_.begin(), fields_.end(),
                                      [&](const auto& own) { return std::strcmp(own.first, field.name) == 0; });
        if (own == fields_.end()) {
            // Whoever makes the collection may hand on what finds the creator, too.
            if (std::strncmp(field.name, "plugin_", 7) == 0) continue;
            refuse(field.name, "is unknown");
        }
        if (field.length < 0 || (field.length > 0 && !field.data)) refuse(field.name, "has no data");
        if (field.length > 0 && field.type != type_of(own->second)) refuse(field.name, "has another type");
        if (field.length > 0) std::visit([&](auto& value) { assign(value, field); }, own->second);
    }
}

const Fields::Value& Fields::value(const char* name) const {
    for (const auto& [own, value] : fields_) {
        if (std::strcmp(own, name) == 0) return value;
    }
    refuse(name, "is unknown");
}

std::int32_t Fields::integer(const char* name, std::int32_t least, std::int32_t most) const {
    const auto& values = std::get<std::vector<std::int32_t>>(value(name));
    if (values.size() != 1 || values[0] < least || values[0] > most) {
        refuse(name, "has to be a number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    return values[0];
}

std::string Fields::description() const {
    std::string all;
    for (const auto& [name, value] : fields_) {
        const std::string text = std::visit([](const auto& each) { return text_of(each); }, value);
        if (!text.empty()) all += (all.empty() ? "" : "; ") + std::string(name) + "=" + text;
    }
    return all;
}

const nvinfer1::PluginFieldCollection* Fields::collection() {
    return listed(true);
}

const nvinfer1::PluginFieldCollection* Fields::names() {
    return listed(false);
}

const nvinfer1::PluginFieldCollection* Fields::listed(bool with_values) {
    list_.clear();
    for (const auto& [name, value] : fields_) {
        std::visit(
            [&](const auto& each) {
                if (!with_values) list_.emplace_back(name, nullptr, type_of(value), 1);
                if (with_values && !each.empty()) {
                    list_.emplace_back(name, each.data(), type_of(value), static_cast<std::int32_t>(each.size()));
                }
            },
            value);
    }
    collection_ = {static_cast<std::int32_t>(list_.size()), list_.data()};
    return &collection_;
}

}  // namespace edgeseg::trt
