#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "parallel/view.h"

/// What the benchmarks need of CUDA's runtime.
namespace edgeseg::bench {

inline void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
}

/// Device memory.
class DeviceMemory {
  public:
    DeviceMemory() = default;
    explicit DeviceMemory(std::size_t bytes) { check(cudaMalloc(&data_, bytes)); }
    DeviceMemory(DeviceMemory&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
    DeviceMemory& operator=(DeviceMemory&& other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }
    ~DeviceMemory() { cudaFree(data_); }

    void* data() const { return data_; }

  private:
    void* data_ = nullptr;
};

/// A copy of an array in device memory.
template <class T, int kRank>
struct Device {
    DeviceMemory memory;
    parallel::View<T, kRank> view;

    explicit Device(const parallel::View<T, kRank>& host) : memory(bytes_of(host)), view(host) {
        check(cudaMemcpy(memory.data(), host.data, bytes_of(host), cudaMemcpyHostToDevice));
        view.data = static_cast<T*>(memory.data());
    }

    void copy_to(std::remove_const_t<T>* host) const {
        check(cudaMemcpy(host, view.data, bytes_of(view), cudaMemcpyDeviceToHost));
    }

    static std::size_t bytes_of(const parallel::View<T, kRank>& array) {
        return static_cast<std::size_t>(array.count()) * sizeof(T);
    }
};

}  // namespace edgeseg::bench
