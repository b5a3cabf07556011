/// What TensorRT looks for in a library of plugins.

#include <NvInferRuntime.h>
#include <NvInferVersion.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <span>

#include "trt/dense_crf_plugin.h"
#include "trt/log.h"
#include "trt/plugin.h"
#include "trt/upsample_argmax_plugin.h"

namespace {

std::atomic<nvinfer1::ILoggerFinder*> logger_finder = nullptr;

}  // namespace

namespace edgeseg::trt {

void log_error(const char* plugin, const char* what) noexcept {
    char line[512];
    std::snprintf(line, sizeof line, "edgeseg, plugin %s: %s", plugin, what);
    nvinfer1::ILoggerFinder* const finder = logger_finder;
    nvinfer1::ILogger* const logger = finder ? finder->findLogger() : nullptr;
    if (logger) {
        logger->log(nvinfer1::ILogger::Severity::kERROR, line);
    } else {
        std::fprintf(stderr, "%s\n", line);
    }
}

}  // namespace edgeseg::trt

namespace {

using nvinfer1::IPluginCreatorInterface;
using nvinfer1::IPluginRegistry;

#define EDGESEG_TEXT_OF(number) #number
#define EDGESEG_TEXT(macro) EDGESEG_TEXT_OF(macro)

std::span<IPluginCreatorInterface* const> creators() {
    static edgeseg::trt::Creator<edgeseg::trt::DenseCrfPlugin> dense_crf;
    static edgeseg::trt::Creator<edgeseg::trt::UpsampleArgmaxPlugin> upsample_argmax;
    static IPluginCreatorInterface* const all[] = {&dense_crf, &upsample_argmax};
    return all;
}

/// The registry of the TensorRT in this process, or null where none is loaded yet. Asked by name, so that the library
/// needs no TensorRT to be linked and can be opened, and looked at, without one. The name has the major version of the
/// headers: in another, functions of the registry have other places.
IPluginRegistry* loaded_registry() {
    void* const library = dlopen("libnvinfer.so." EDGESEG_TEXT(NV_TENSORRT_MAJOR), RTLD_LAZY | RTLD_NOLOAD);
    void* const get_registry = library ? dlsym(library, "getPluginRegistry") : nullptr;
    return get_registry ? reinterpret_cast<IPluginRegistry* (*)()>(get_registry)() : nullptr;
}

/// Where the creators have been registered by loading the library.
IPluginRegistry* own_registry = nullptr;

/// For whoever only opens the library, as trtexec --staticPlugins and Triton do.
__attribute__((constructor)) void register_creators() {
    own_registry = loaded_registry();
    if (!own_registry) return;
    for (IPluginCreatorInterface* creator : creators()) {
        own_registry->registerCreator(*creator, edgeseg::trt::kNamespace);
    }
}

}  // namespace

#define EDGESEG_EXPORTED extern "C" __attribute__((visibility("default")))

EDGESEG_EXPORTED void setLoggerFinder(nvinfer1::ILoggerFinder* finder) {
    logger_finder = finder;
}

/// For IPluginRegistry::loadLibrary, which trtexec --dynamicPlugins calls. It registers what this returns, and fails
/// where that is registered already.
EDGESEG_EXPORTED IPluginCreatorInterface* const* getCreators(std::int32_t& count) {
    if (own_registry) {
        for (IPluginCreatorInterface* creator : creators()) own_registry->deregisterCreator(*creator);
        own_registry = nullptr;
    }
    count = static_cast<std::int32_t>(creators().size());
    return creators().data();
}
