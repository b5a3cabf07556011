/// Asks the plugins what TensorRT would ask them, in its order, with the CUDA drivers run on the CPU. Knows TensorRT's
/// headers alone.

#include <NvInferRuntime.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fibers.h"
#include "parallel/aligned_buffer.h"
#include "upsample_argmax/op.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

extern "C" nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count);
extern "C" void setLoggerFinder(nvinfer1::ILoggerFinder* finder);

namespace {

using namespace edgeseg;
using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;
using nvinfer1::TensorRTPhase;

int failures = 0;

void expect(bool holds, const char* what) {
    if (holds) return;
    ++failures;
    std::printf("FAILED: %s\n", what);
}

struct Logger : nvinfer1::ILogger {
    std::string last;
    void log(Severity, const char* line) noexcept override { last = line; }
};

struct Finder : nvinfer1::ILoggerFinder {
    Logger logger;
    nvinfer1::ILogger* findLogger() override { return &logger; }
};

Finder finder;

nvinfer1::IPluginCreatorV3One& creator(const char* name) {
    std::int32_t count = 0;
    nvinfer1::IPluginCreatorInterface* const* creators = getCreators(count);
    for (int i = 0; i < count; ++i) {
        auto& each = *static_cast<nvinfer1::IPluginCreatorV3One*>(creators[i]);
        if (std::strcmp(each.getPluginName(), name) == 0) return each;
    }
    std::printf("no creator %s\n", name);
    std::exit(1);
}

using Plugin = std::unique_ptr<nvinfer1::IPluginV3>;

Plugin create(const char* name, const std::vector<PluginField>& fields, TensorRTPhase phase = TensorRTPhase::kBUILD) {
    const nvinfer1::PluginFieldCollection collection{static_cast<std::int32_t>(fields.size()), fields.data()};
    return Plugin(creator(name).createPlugin("node", &collection, phase));
}

template <class Capability>
Capability& capability(const Plugin& plugin, nvinfer1::PluginCapabilityType type) {
    return *static_cast<Capability*>(plugin->getCapabilityInterface(type));
}

nvinfer1::IPluginV3OneBuild& build(const Plugin& plugin) {
    return capability<nvinfer1::IPluginV3OneBuild>(plugin, nvinfer1::PluginCapabilityType::kBUILD);
}

nvinfer1::IPluginV3OneRuntime& runtime(const Plugin& plugin) {
    return capability<nvinfer1::IPluginV3OneRuntime>(plugin, nvinfer1::PluginCapabilityType::kRUNTIME);
}

std::size_t bytes_of(PluginFieldType type) {
    return type == PluginFieldType::kCHAR ? 1 : 4;
}

/// What an engine stores of a plugin, by name.
std::map<std::string, std::string> stored(const Plugin& plugin) {
    std::map<std::string, std::string> all;
    const nvinfer1::PluginFieldCollection* fields = runtime(plugin).getFieldsToSerialize();
    for (int i = 0; i < fields->nbFields; ++i) {
        const PluginField& field = fields->fields[i];
        all[field.name] = std::string(static_cast<const char*>(field.data), field.length * bytes_of(field.type));
    }
    return all;
}

constexpr float kXy[] = {40, 30}, kRgb[] = {5, 6, 7}, kWeight = 4, kPx = 2, kMoreBilateral[] = {9, 8, 20, 21, 22, 1.5f},
                kMoreSpatial[] = {6, 7, 0.5f, 1, 1, 0.25f}, kCosts[] = {0, 1, 2, 1, 0, 1, 2, 1, 0};
constexpr std::int32_t kIterations = 3, kVertices = 4000;

std::vector<PluginField> all_fields() {
    return {{"bilateral_sigma_xy_px", kXy, PluginFieldType::kFLOAT32, 2},
            {"bilateral_sigma_rgb", kRgb, PluginFieldType::kFLOAT32, 3},
            {"bilateral_weight", &kWeight, PluginFieldType::kFLOAT32, 1},
            {"spatial_sigma_px", &kPx, PluginFieldType::kFLOAT32, 1},
            {"spatial_weight", &kWeight, PluginFieldType::kFLOAT32, 1},
            {"iterations", &kIterations, PluginFieldType::kINT32, 1},
            {"compatibility", kCosts, PluginFieldType::kFLOAT32, 9},
            {"more_bilateral", kMoreBilateral, PluginFieldType::kFLOAT32, 6},
            {"more_spatial", kMoreSpatial, PluginFieldType::kFLOAT32, 6},
            {"quality", "accurate", PluginFieldType::kCHAR, 8},
            {"output", "marginals", PluginFieldType::kCHAR, 10},  // with the zero at its end
            {"vertices", &kVertices, PluginFieldType::kINT32, 1}};
}

void test_fields() {
    const Plugin plugin = create("DenseCRF", all_fields());
    const auto before = stored(plugin);
    expect(before.size() == all_fields().size(), "a field is not stored");
    expect(before.at("output") == "marginals", "a string is stored otherwise");
    expect(std::memcmp(before.at("compatibility").data(), kCosts, sizeof kCosts) == 0, "a matrix is stored otherwise");

    const nvinfer1::PluginFieldCollection* fields = runtime(plugin).getFieldsToSerialize();
    const Plugin again =
        create("DenseCRF", {fields->fields, fields->fields + fields->nbFields}, TensorRTPhase::kRUNTIME);
    expect(again && stored(again) == before, "fields do not survive an engine");
    expect(stored(Plugin(plugin->clone())) == before, "fields do not survive a clone");
    expect(std::string(build(plugin).getMetadataString()) == build(again).getMetadataString(), "other metadata");
    for (int i = 0; i < creator("DenseCRF").getFieldNames()->nbFields; ++i) {
        const PluginField& field = creator("DenseCRF").getFieldNames()->fields[i];
        expect(before.count(field.name) == 1, "a field is announced and not stored");
    }

    const auto refused = [](const char* plugin, const PluginField& field, const char* why) {
        finder.logger.last.clear();
        expect(!create(plugin, {field}), "a wrong field is taken");
        if (finder.logger.last.find(why) == std::string::npos) expect(false, finder.logger.last.c_str());
    };
    constexpr std::int32_t kMinus = -1;
    constexpr float kZero = 0;
    refused("DenseCRF", {"iterations", &kMinus, PluginFieldType::kINT32, 1}, "0 to 1000");
    refused("DenseCRF", {"iterations", &kZero, PluginFieldType::kFLOAT32, 1}, "another type");
    refused("DenseCRF", {"spatial_sigma_px", &kZero, PluginFieldType::kFLOAT32, 1}, "above 0");
    refused("DenseCRF", {"bilateral_sigma_rgb", kXy, PluginFieldType::kFLOAT32, 2}, "1 or 3");
    refused("DenseCRF", {"more_spatial", kXy, PluginFieldType::kFLOAT32, 2}, "rows of 3");
    refused("DenseCRF", {"quality", "good", PluginFieldType::kCHAR, 4}, "fast or accurate");
    refused("DenseCRF", {"sigma", &kWeight, PluginFieldType::kFLOAT32, 1}, "unknown");
    refused("UpsampleArgmax", {"height", &kVertices, PluginFieldType::kINT32, 1}, "width");
}

/// The tensors of a node: their sizes, types and bytes.
struct Tensor {
    std::vector<int> size;
    DataType type;
    std::vector<std::byte> bytes;

    Tensor(std::vector<int> size, DataType type, const std::vector<float>& values = {}) : size(size), type(type) {
        const bool half = type == DataType::kHALF;
        bytes.resize(count() * (half ? 2 : 4), std::byte{0x47});
        for (std::size_t i = 0; i < values.size(); ++i) {
            const __half as_half = half_of(values[i]);
            std::memcpy(bytes.data() + i * (half ? 2 : 4), half ? static_cast<const void*>(&as_half) : &values[i],
                        half ? 2 : 4);
        }
    }

    std::size_t count() const {
        std::size_t count = 1;
        for (const int side : size) count *= side;
        return count;
    }

    float operator[](std::size_t i) const {
        __half half;
        float value;
        if (type == DataType::kHALF) {
            std::memcpy(&half, bytes.data() + 2 * i, 2);
            return float_of(half);
        }
        std::memcpy(&value, bytes.data() + 4 * i, 4);
        return value;
    }

    Dims dims() const {
        Dims dims{};
        dims.nbDims = static_cast<std::int32_t>(size.size());
        std::copy(size.begin(), size.end(), dims.d);
        return dims;
    }

    nvinfer1::PluginTensorDesc desc() const { return {dims(), type, nvinfer1::TensorFormat::kLINEAR, 1}; }
    nvinfer1::DynamicPluginTensorDesc most(int factor) const {
        Dims max = dims();
        max.d[0] *= factor;  // a profile that allows larger batches
        return {desc(), dims(), max, dims()};
    }
};

/// Configures, asks for the workspace, and runs. Returns whether all went well.
bool run(const Plugin& plugin, const std::vector<Tensor>& inputs, Tensor& output) {
    std::vector<nvinfer1::DynamicPluginTensorDesc> at_most;
    std::vector<nvinfer1::PluginTensorDesc> now;
    std::vector<const void*> data;
    for (const Tensor& input : inputs) {
        at_most.push_back(input.most(2));
        now.push_back(input.desc());
        data.push_back(input.bytes.data());
    }
    const auto count = static_cast<std::int32_t>(inputs.size());
    std::vector<nvinfer1::DynamicPluginTensorDesc> all = at_most;
    all.push_back(output.most(2));
    for (int i = 0; i <= count; ++i) {
        expect(build(plugin).supportsFormatCombination(i, all.data(), count, 1), "a format is refused");
        nvinfer1::DynamicPluginTensorDesc& each = all[i];
        const DataType own = each.desc.type;
        each.desc.type = DataType::kUINT8;
        expect(!build(plugin).supportsFormatCombination(i, all.data(), count, 1), "bytes are taken");
        each.desc.type = own;
        each.desc.format = nvinfer1::TensorFormat::kCHW4;
        expect(!build(plugin).supportsFormatCombination(i, all.data(), count, 1), "a packed format is taken");
        each.desc.format = nvinfer1::TensorFormat::kLINEAR;
    }
    std::vector<DataType> types;
    for (const Tensor& input : inputs) types.push_back(input.type);
    DataType output_type{};
    expect(build(plugin).getOutputDataTypes(&output_type, 1, types.data(), count) == 0 && output_type == output.type,
           "another type of output");
    if (build(plugin).configurePlugin(at_most.data(), count, &all[count], 1) != 0) return false;
    const std::size_t bytes = build(plugin).getWorkspaceSize(at_most.data(), count, &all[count], 1);

    const Plugin in_context(runtime(plugin).attachToContext(nullptr));
    const nvinfer1::PluginTensorDesc output_desc = output.desc();
    if (runtime(in_context).onShapeChange(now.data(), count, &output_desc, 1) != 0) return false;
    parallel::AlignedBuffer workspace;
    void* memory = workspace.at_least(bytes);
    std::memset(memory, 0x2d, bytes);
    void* to = output.bytes.data();
    cuda_on_cpu::set_order(1);
    const bool well = runtime(in_context).enqueue(now.data(), &output_desc, data.data(), &to, memory, nullptr) == 0;
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
#endif
    return well;
}

std::vector<float> noise(std::size_t count, float low, float high, bool whole) {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(low, high);
    std::vector<float> values(count);
    for (float& value : values) value = whole ? std::floor(uniform(random)) : float_of(half_of(uniform(random)));
    return values;
}

constexpr int kImages = 2, kClasses = 3, kHeight = 20, kWidth = 27;
constexpr DataType kTypes[] = {DataType::kFLOAT, DataType::kHALF};

void test_dense_crf() {
    const std::vector<float> values = noise(kImages * kClasses * 3 * 4, -4, 4, false);
    const std::vector<float> colors = noise(kImages * kHeight * kWidth * 3, 0, 256, true);
    const std::size_t pixels = kHeight * kWidth;
    std::vector<PluginField> fields = all_fields();
    const Plugin marginals_of = create("DenseCRF", fields);
    fields[10] = {"output", "labels", PluginFieldType::kCHAR, 6};
    const Plugin labels_of = create("DenseCRF", fields);
    for (const DataType logits_type : kTypes) {
        for (const DataType image_type : kTypes) {
            const std::vector<Tensor> inputs = {{{kImages, kClasses, 3, 4}, logits_type, values},
                                                {{kImages, kHeight, kWidth, 3}, image_type, colors}};
            Tensor marginals({kImages, kClasses, kHeight, kWidth}, DataType::kFLOAT);
            Tensor labels({kImages, kHeight, kWidth}, image_type);
            expect(run(marginals_of, inputs, marginals) && run(labels_of, inputs, labels), "the CRF fails");
            bool sums_to_one = true, most_probable = true;
            for (std::size_t i = 0; i < kImages * pixels; ++i) {
                const auto q = [&](int c) { return marginals[(i / pixels * kClasses + c) * pixels + i % pixels]; };
                float sum = 0, most = 0;
                for (int c = 0; c < kClasses; ++c) sum += q(c), most = std::max(most, q(c));
                sums_to_one &= std::fabs(sum - 1) < 1e-4f;
                most_probable &=
                    labels[i] >= 0 && labels[i] < kClasses && q(static_cast<int>(labels[i])) >= most * 0.999f;
            }
            expect(sums_to_one, "marginals do not sum to one");
            expect(most_probable, "a label is not the most probable");
        }
    }
    std::vector<Tensor> inputs = {{{1, 4, 3, 4}, DataType::kFLOAT}, {{1, kHeight, kWidth, 3}, DataType::kFLOAT}};
    Tensor labels({1, kHeight, kWidth}, DataType::kFLOAT);
    expect(!run(labels_of, inputs, labels), "a compatibility for another number of classes is taken");
    inputs = {{{1, 3, 3, 4}, DataType::kFLOAT}, {{1, kHeight, kWidth, 4}, DataType::kFLOAT}};
    expect(!run(labels_of, inputs, labels), "an image of four channels is taken");
    inputs = {{{2, 3, 3, 4}, DataType::kFLOAT}, {{1, kHeight, kWidth, 3}, DataType::kFLOAT}};
    expect(!run(labels_of, inputs, labels), "fewer images than logits are taken");
}

/// Dimensions and the builder of expressions are places here that nobody looks into.
void test_output_shapes() {
    const char places[8] = {};
    const auto dim = [&](int i) { return reinterpret_cast<const nvinfer1::IDimensionExpr*>(places + i); };
    const nvinfer1::DimsExprs inputs[] = {{4, {dim(0), dim(1), dim(2), dim(3)}}, {4, {dim(4), dim(5), dim(6), dim(7)}}};
    alignas(16) char nothing[64] = {};
    auto& none = reinterpret_cast<nvinfer1::IExprBuilder&>(nothing);
    for (const char* output : {"labels", "marginals"}) {
        const auto length = static_cast<std::int32_t>(std::strlen(output));
        const Plugin plugin = create("DenseCRF", {{"output", output, PluginFieldType::kCHAR, length}});
        nvinfer1::DimsExprs found{};
        expect(build(plugin).getOutputShapes(inputs, 2, nullptr, 0, &found, 1, none) == 0, "shapes are refused");
        const std::vector<const nvinfer1::IDimensionExpr*> all(found.d, found.d + found.nbDims);
        using Dims = std::vector<const nvinfer1::IDimensionExpr*>;
        expect(all == (length == 6 ? Dims{dim(0), dim(5), dim(6)} : Dims{dim(0), dim(1), dim(5), dim(6)}), output);
        expect(build(plugin).getOutputShapes(inputs, 1, nullptr, 0, &found, 1, none) != 0, "one input is enough");
    }
}

void test_upsample_argmax() {
    constexpr std::int32_t kSize[] = {kHeight, kWidth};
    const Plugin plugin = create("UpsampleArgmax", {{"height", &kSize[0], PluginFieldType::kINT32, 1},
                                                    {"width", &kSize[1], PluginFieldType::kINT32, 1}});
    const std::vector<float> values = noise(kImages * kClasses * 3 * 4, -4, 4, false);
    std::vector<std::uint8_t> expected(kImages * kHeight * kWidth);
    upsample_argmax::Params params{{values.data(), {kImages, kClasses, 3, 4}},
                                   {expected.data(), {kImages, kHeight, kWidth}}};
    std::vector<std::byte> workspace(upsample_argmax::workspace_bytes(params));
    upsample_argmax::run_cpu(params, workspace.data(), 1);
    for (const DataType type : kTypes) {
        Tensor labels({kImages, kHeight, kWidth}, type);
        expect(run(plugin, {{{kImages, kClasses, 3, 4}, type, values}}, labels), "upsample_argmax fails");
        bool same = true;
        for (std::size_t i = 0; i < expected.size(); ++i) same &= labels[i] == expected[i];
        expect(same, "labels unlike the CPU's");
    }
}

}  // namespace

int main() {
    setLoggerFinder(&finder);
    test_fields();
    test_output_shapes();
    test_dense_crf();
    test_upsample_argmax();
    std::printf(failures ? "%d failures\n" : "all well\n", failures);
    return failures ? 1 : 0;
}
