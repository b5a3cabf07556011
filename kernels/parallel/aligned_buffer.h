#pragma once

#include <cstdlib>
#include <memory>
#include <new>

namespace edgeseg::parallel {

/// Host memory aligned to 64 bytes that only grows, for workspaces that are kept from call to call.
class AlignedBuffer {
  public:
    /// What was in it before is lost where it has to grow. Throws std::bad_alloc where there is no more memory.
    void* at_least(std::size_t bytes) {
        if (bytes > bytes_) {
            memory_.reset();  // first, so that old and new are never held together
            bytes_ = 0;
            memory_.reset(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
            if (!memory_) throw std::bad_alloc();
            bytes_ = bytes;
        }
        return memory_.get();
    }

  private:
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    std::unique_ptr<void, Free> memory_;
    std::size_t bytes_ = 0;
};

}  // namespace edgeseg::parallel
