// NVIDIA's driver API on the CPU, as far as edgeseg's two bindings call it: a libcuda.so.1 for tests without a GPU.
//
// Work in a stream is put off until someone waits for it, so that whoever reads a result too early sees old bytes.
// It is stricter than a GPU: asynchronous copies take page-locked memory alone, and memory freed before the work on it
// is done is an illegal address.
//
// The environment says what goes wrong:
//   CPU_DRIVER_MEMORY=BYTES               so much memory on the device, and as much pinned; 1 GiB if left out
//   CPU_DRIVER_FAIL=FUNCTION:N:STATUS     the N-th call of a function, and every one after it, returns STATUS
//
// cpu_driver_calls and cpu_driver_live, at the end, tell a test what happened.

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

namespace {

enum Status {
    kSuccess = 0,
    kInvalidValue = 1,
    kOutOfMemory = 2,
    kNotInitialized = 3,
    kNoDevice = 100,
    kInvalidDevice = 101,
    kInvalidContext = 201,
    kEccUncorrectable = 214,
    kInvalidHandle = 400,
    kIllegalState = 401,
    kNotFound = 500,
    kNotReady = 600,
    kIllegalAddress = 700,
    kLaunchTimeout = 702,
    kLaunchFailed = 719,
    kNotSupported = 801,
    kCaptureUnsupported = 900,
    kCaptureInvalidated = 901,
    kCaptureWrongThread = 908,
    kUnknown = 999,
};

struct Words {
    const char *name, *text;
};

const std::map<int, Words> kWords{
    {kSuccess, {"CUDA_SUCCESS", "no error"}},
    {kInvalidValue, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
    {kOutOfMemory, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
    {kNotInitialized, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
    {kNoDevice, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
    {kInvalidDevice, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
    {kInvalidContext, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
    {kEccUncorrectable, {"CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"}},
    {kInvalidHandle, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
    {kIllegalState, {"CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"}},
    {kNotFound, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
    {kNotReady, {"CUDA_ERROR_NOT_READY", "device not ready"}},
    {kIllegalAddress, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
    {kLaunchTimeout, {"CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"}},
    {kLaunchFailed, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
    {kNotSupported, {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"}},
    {kCaptureUnsupported,
     {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"}},
    {kCaptureInvalidated,
     {"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"}},
    {kCaptureWrongThread,
     {"CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture from another thread"}},
    {kUnknown, {"CUDA_ERROR_UNKNOWN", "unknown error"}},
};

// After one of these nothing works any more in the process.
const std::set<int> kSticky{kEccUncorrectable, kIllegalAddress, kLaunchTimeout, kLaunchFailed, kUnknown};

constexpr int kDriverVersion = 12060;
constexpr uint8_t kNeverWritten = 0xCD;
constexpr int kRelaxed = 2;  // CU_STREAM_CAPTURE_MODE_…

using Work = std::function<int()>;

struct Stream {
    std::mutex running;  // one thread at a time empties it, so that the order is kept
    std::deque<Work> waiting;
    bool capturing = false, invalidated = false;
    int capture_mode = 0;
    std::thread::id capture_thread;
    std::vector<Work> captured;
};

using Graph = std::vector<Work>;

struct Driver {
    std::mutex lock;  // never held while work runs: that may be Python, which wants its own lock
    std::map<std::string, int> calls;
    bool started = false;
    int lost = kSuccess;
    int retained = 0;
    std::map<uintptr_t, size_t> device, host;
    std::map<void*, std::shared_ptr<Stream>> streams{{nullptr, std::make_shared<Stream>()}};
    std::map<void*, Graph> graphs, executables;
};

Driver& driver() {
    static Driver* const instance = new Driver;  // outlives everything that runs when the process ends
    return *instance;
}

char the_context;  // CUcontext is its address: the primary context of the one device
thread_local std::vector<void*> contexts;

int injected(const char* function, int call) {
    const char* const wanted = std::getenv("CPU_DRIVER_FAIL");
    if (wanted == nullptr) return kSuccess;
    char name[64];
    int from = 0, status = 0;
    if (std::sscanf(wanted, "%63[^:]:%d:%d", name, &from, &status) != 3) std::abort();
    return std::strcmp(name, function) == 0 && call >= from ? status : kSuccess;
}

// Counts the call, and says whether it is to fail before it has begun.
int enter(const char* function) {
    const int status = injected(function, ++driver().calls[function]);
    if (kSticky.count(status) != 0) driver().lost = status;
    return status;
}

int need_context() {
    if (!driver().started) return kNotInitialized;
    if (contexts.empty() || driver().retained == 0) return kInvalidContext;
    return driver().lost;
}

// Of the calls that change memory: one of this thread's own captures forbids them, unless it is relaxed.
int need_no_capture() {
    for (auto& [handle, stream] : driver().streams) {
        if (stream->capturing && stream->capture_mode != kRelaxed &&
            stream->capture_thread == std::this_thread::get_id()) {
            stream->invalidated = true;
            return kCaptureUnsupported;
        }
    }
    return kSuccess;
}

#define TRY(call) \
    if (const int status_ = (call)) return status_
#define ENTER                                         \
    std::unique_lock<std::mutex> lock(driver().lock); \
    TRY(enter(__func__))
#define ENTER_CONTEXT \
    ENTER;            \
    TRY(need_context())

bool lies_in(const std::map<uintptr_t, size_t>& blocks, uintptr_t address, size_t bytes) {
    auto block = blocks.upper_bound(address);
    return block != blocks.begin() && address + bytes <= (--block)->first + block->second;
}

size_t sum(const std::map<uintptr_t, size_t>& blocks) {
    size_t bytes = 0;
    for (const auto& [address, size] : blocks) bytes += size;
    return bytes;
}

size_t memory_limit() {
    const char* const limit = std::getenv("CPU_DRIVER_MEMORY");
    return limit != nullptr ? std::strtoull(limit, nullptr, 10) : size_t{1} << 30;
}

uintptr_t reserve(std::map<uintptr_t, size_t>& blocks, size_t bytes) {
    void* const block = std::malloc(bytes);
    std::memset(block, kNeverWritten, bytes);
    blocks[reinterpret_cast<uintptr_t>(block)] = bytes;
    return reinterpret_cast<uintptr_t>(block);
}

int release(std::map<uintptr_t, size_t>& blocks, uintptr_t address) {
    if (blocks.erase(address) == 0) return kInvalidValue;
    std::free(reinterpret_cast<void*>(address));
    return kSuccess;
}

int find(void* handle, std::shared_ptr<Stream>& stream) {
    const auto found = driver().streams.find(handle);
    if (found == driver().streams.end()) return kInvalidHandle;
    stream = found->second;
    return kSuccess;
}

int enqueue(Stream& stream, Work work) {
    if (stream.invalidated) return kCaptureInvalidated;
    if (stream.capturing) {
        stream.captured.push_back(std::move(work));
    } else {
        stream.waiting.push_back(std::move(work));
    }
    return kSuccess;
}

int refuse_while_capturing(Stream& stream) {
    if (!stream.capturing) return kSuccess;
    stream.invalidated = true;
    return kCaptureUnsupported;
}

// Runs what waits in a stream, at most so many; the driver's lock is not held.
int run(Stream& stream, size_t most = SIZE_MAX) {
    std::lock_guard<std::mutex> turn(stream.running);
    for (size_t done = 0; done < most; ++done) {
        Work work;
        {
            std::lock_guard<std::mutex> lock(driver().lock);
            if (driver().lost != kSuccess) return driver().lost;
            if (stream.waiting.empty()) return kSuccess;
            work = std::move(stream.waiting.front());
            stream.waiting.pop_front();
        }
        if (const int status = work()) {
            std::lock_guard<std::mutex> lock(driver().lock);
            return driver().lost = status;
        }
    }
    return kSuccess;
}

int run_all() {
    std::vector<std::shared_ptr<Stream>> streams;
    {
        std::lock_guard<std::mutex> lock(driver().lock);
        for (const auto& [handle, stream] : driver().streams) streams.push_back(stream);
    }
    for (const auto& stream : streams) TRY(run(*stream));
    return kSuccess;
}

int copy(void* handle, uintptr_t target, uintptr_t source, uintptr_t device, uintptr_t host, size_t bytes) {
    const auto is_valid = [device, host, bytes] {
        return lies_in(driver().device, device, bytes) && lies_in(driver().host, host, bytes);
    };
    std::shared_ptr<Stream> stream;
    TRY(find(handle, stream));
    if (!is_valid()) return kInvalidValue;
    return enqueue(*stream, [=] {
        std::lock_guard<std::mutex> lock(driver().lock);
        if (!is_valid()) return kIllegalAddress;
        std::memcpy(reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes);
        return kSuccess;
    });
}

const Words* words(int status) {
    const auto found = kWords.find(status);
    return found == kWords.end() ? nullptr : &found->second;
}

}  // namespace

// The driver and its errors.

API cuInit(unsigned) {
    ENTER;
    driver().started = true;
    return kSuccess;
}

API cuDriverGetVersion(int* version) {
    *version = kDriverVersion;
    return kSuccess;
}

API cuGetErrorName(int status, const char** name) {
    const Words* const found = words(status);
    *name = found != nullptr ? found->name : nullptr;
    return found != nullptr ? kSuccess : kInvalidValue;
}

API cuGetErrorString(int status, const char** text) {
    const Words* const found = words(status);
    *text = found != nullptr ? found->text : nullptr;
    return found != nullptr ? kSuccess : kInvalidValue;
}

// Only one version of each function is here, so the one asked for need not be looked at.
API cuGetProcAddress_v2(const char* symbol, void** function, int, uint64_t, int* status) {
    static void* const self = [] {
        Dl_info info{};
        dladdr(reinterpret_cast<void*>(&cuInit), &info);
        return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    }();
    *function = nullptr;
    for (const char* const suffix : {"_v3", "_v2", ""}) {
        if (*function == nullptr) *function = dlsym(self, (std::string(symbol) + suffix).c_str());
    }
    if (status != nullptr) *status = *function == nullptr;
    return *function != nullptr ? kSuccess : kNotFound;
}

// The device and its primary context.

API cuDeviceGetCount(int* count) {
    ENTER;
    *count = 1;
    return kSuccess;
}

API cuDeviceGet(int* device, int ordinal) {
    ENTER;
    if (!driver().started) return kNotInitialized;
    *device = 0;
    return ordinal == 0 ? kSuccess : kInvalidDevice;
}

API cuDeviceGetName(char* name, int size, int) {
    std::snprintf(name, size, "CPU");
    return kSuccess;
}

API cuDeviceGetAttribute(int* value, int attribute, int) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : 0;  // the compute capability, as an Orin's; else nothing
    return kSuccess;
}

API cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = memory_limit();
    return kSuccess;
}

API cuDevicePrimaryCtxRetain(void** context, int) {
    ENTER;
    if (!driver().started) return kNotInitialized;
    if (driver().lost != kSuccess) return driver().lost;
    ++driver().retained;
    *context = &the_context;
    return kSuccess;
}

API cuDevicePrimaryCtxRelease_v2(int) {
    ENTER;
    if (driver().retained == 0) return kInvalidContext;
    --driver().retained;
    return kSuccess;
}

API cuCtxPushCurrent_v2(void* context) {
    ENTER;
    if (context != &the_context || driver().retained == 0) return kInvalidContext;
    contexts.push_back(context);
    return kSuccess;
}

API cuCtxPopCurrent_v2(void** context) {
    ENTER;
    if (contexts.empty()) return kInvalidContext;
    if (context != nullptr) *context = contexts.back();
    contexts.pop_back();
    return kSuccess;
}

API cuCtxGetCurrent(void** context) {
    ENTER;
    *context = contexts.empty() ? nullptr : contexts.back();
    return kSuccess;
}

API cuCtxGetDevice(int* device) {
    ENTER_CONTEXT;
    *device = 0;
    return kSuccess;
}

API cuCtxSynchronize() {
    ENTER_CONTEXT;
    lock.unlock();
    return run_all();
}

// Memory.

API cuMemAlloc_v2(uintptr_t* address, size_t bytes) {
    ENTER_CONTEXT;
    TRY(need_no_capture());
    if (bytes == 0) return kInvalidValue;
    if (sum(driver().device) + bytes > memory_limit()) return kOutOfMemory;
    *address = reserve(driver().device, bytes);
    return kSuccess;
}

API cuMemFree_v2(uintptr_t address) {
    ENTER_CONTEXT;
    TRY(need_no_capture());
    return release(driver().device, address);
}

API cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER_CONTEXT;
    *total = memory_limit();
    *free = *total - sum(driver().device);
    return kSuccess;
}

API cuMemHostAlloc(void** address, size_t bytes, unsigned) {
    ENTER_CONTEXT;
    TRY(need_no_capture());
    if (bytes == 0) return kInvalidValue;
    if (sum(driver().host) + bytes > memory_limit()) return kOutOfMemory;
    *address = reinterpret_cast<void*>(reserve(driver().host, bytes));
    return kSuccess;
}

API cuMemFreeHost(void* address) {
    ENTER_CONTEXT;
    TRY(need_no_capture());
    return release(driver().host, reinterpret_cast<uintptr_t>(address));
}

// Streams.

API cuStreamCreate(void** handle, unsigned) {
    ENTER_CONTEXT;
    const auto stream = std::make_shared<Stream>();
    *handle = stream.get();
    driver().streams[*handle] = stream;
    return kSuccess;
}

API cuStreamDestroy_v2(void* handle) {
    ENTER_CONTEXT;
    std::shared_ptr<Stream> stream;
    TRY(find(handle, stream));
    driver().streams.erase(handle);
    lock.unlock();
    run(*stream);  // as on a GPU, what is in it is still done
    return kSuccess;
}

API cuStreamSynchronize(void* handle) {
    ENTER_CONTEXT;
    std::shared_ptr<Stream> stream;
    TRY(find(handle, stream));
    TRY(refuse_while_capturing(*stream));
    lock.unlock();
    return run(*stream);
}

// Each question moves the stream on by one piece of work, so that who asks in a loop gets there.
API cuStreamQuery(void* handle) {
    ENTER_CONTEXT;
    std::shared_ptr<Stream> stream;
    TRY(find(handle, stream));
    TRY(refuse_while_capturing(*stream));
    lock.unlock();
    TRY(run(*stream, 1));
    lock.lock();
    return stream->waiting.empty() ? kSuccess : kNotReady;
}

API cuMemcpyHtoDAsync_v2(uintptr_t target, const void* source, size_t bytes, void* stream) {
    ENTER_CONTEXT;
    const auto host = reinterpret_cast<uintptr_t>(source);
    return copy(stream, target, host, target, host, bytes);
}

API cuMemcpyDtoHAsync_v2(void* target, uintptr_t source, size_t bytes, void* stream) {
    ENTER_CONTEXT;
    const auto host = reinterpret_cast<uintptr_t>(target);
    return copy(stream, host, source, source, host, bytes);
}

// A test's stand-in for a kernel: device memory is this process's own.
API cuLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
    ENTER_CONTEXT;
    std::shared_ptr<Stream> stream;
    TRY(find(handle, stream));
    return enqueue(*stream, [=] {
        function(data);
        return kSuccess;
    });
}

// Graphs.

API cuStreamBeginCapture_v2(void* handle, int mode) {
    ENTER_CONTEXT;
    std::shared_ptr<Stream> stream;
    TRY(find(handle, stream));
    if (handle == nullptr || stream->capturing) return kCaptureUnsupported;
    stream->capturing = true;
    stream->capture_mode = mode;
    stream->capture_thread = std::this_thread::get_id();
    return kSuccess;
}

API cuStreamEndCapture(void* handle, void** graph) {
    ENTER_CONTEXT;
    std::shared_ptr<Stream> stream;
    TRY(find(handle, stream));
    *graph = nullptr;
    if (!stream->capturing) return kIllegalState;
    if (stream->capture_mode != kRelaxed && stream->capture_thread != std::this_thread::get_id()) {
        return kCaptureWrongThread;
    }
    const Graph captured = std::move(stream->captured);
    const bool invalidated = stream->invalidated;
    stream->capturing = stream->invalidated = false;
    stream->captured.clear();
    if (invalidated) return kCaptureInvalidated;
    *graph = new char;
    driver().graphs[*graph] = captured;
    return kSuccess;
}

API cuGraphInstantiateWithFlags(void** executable, void* graph, uint64_t) {
    ENTER_CONTEXT;
    const auto found = driver().graphs.find(graph);
    if (found == driver().graphs.end()) return kInvalidValue;
    *executable = new char;
    driver().executables[*executable] = found->second;
    return kSuccess;
}

API cuGraphLaunch(void* executable, void* handle) {
    ENTER_CONTEXT;
    const auto found = driver().executables.find(executable);
    if (found == driver().executables.end()) return kInvalidValue;
    std::shared_ptr<Stream> stream;
    TRY(find(handle, stream));
    for (const Work& work : found->second) TRY(enqueue(*stream, work));
    return kSuccess;
}

API cuGraphDestroy(void* graph) {
    ENTER;
    if (driver().graphs.erase(graph) == 0) return kInvalidValue;
    delete static_cast<char*>(graph);
    return kSuccess;
}

API cuGraphExecDestroy(void* executable) {
    ENTER;
    if (driver().executables.erase(executable) == 0) return kInvalidValue;
    delete static_cast<char*>(executable);
    return kSuccess;
}

// For tests.

// How often a function was called, by its full name, such as cuMemAlloc_v2.
API cpu_driver_calls(const char* function) {
    std::lock_guard<std::mutex> lock(driver().lock);
    return driver().calls[function];
}

// How many blocks of memory, streams, graphs there are that were not given back.
API cpu_driver_live() {
    std::lock_guard<std::mutex> lock(driver().lock);
    const Driver& d = driver();
    return static_cast<int>(d.device.size() + d.host.size() + d.streams.size() - 1 + d.graphs.size() +
                            d.executables.size());
}
