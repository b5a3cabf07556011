#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

/// The stand-in for kernels/dense_crf/partition.h.
namespace edgeseg::dense_crf::gpu {

/// Like dense_crf::Carver, with a gap behind every array that AddressSanitizer guards.
class Carver {
  public:
    explicit Carver(void* memory) : memory_(memory) {}

    template <class T>
    void take(T*& part, std::ptrdiff_t count) {
        if (memory_) part = reinterpret_cast<T*>(static_cast<std::byte*>(memory_) + bytes_);
        const std::size_t end = bytes_ + static_cast<std::size_t>(count) * sizeof(T);
        bytes_ = (end + 63) / 64 * 64 + 64;
#if defined(__SANITIZE_ADDRESS__)
        if (memory_) ASAN_POISON_MEMORY_REGION(static_cast<std::byte*>(memory_) + end, bytes_ - end);
#endif
    }

    std::size_t bytes() const { return bytes_; }

  private:
    void* memory_;
    std::size_t bytes_ = 0;
};

}  // namespace edgeseg::dense_crf::gpu
