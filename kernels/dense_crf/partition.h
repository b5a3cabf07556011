#pragma once

#include <algorithm>
#include <cstddef>

#include "dense_crf/layout.h"
#include "parallel/for_each.h"

/// How the work on an image is shared out among threads.
namespace edgeseg::dense_crf {

/// Each thread has its own copy of the lattices' values to splat into: more would cost memory and gain little.
inline constexpr int kMostThreads = 16;

/// body(thread, row) for all rows of tiles, each thread's in order: who splats what does not depend on the clock.
template <class Body>
void each_row(const Tiling& tiling, int threads, const Body& body) {
    parallel::for_each(threads, threads, [&](std::ptrdiff_t thread) {
        const auto end = static_cast<int>((thread + 1) * tiling.rows / threads);
        for (auto row = static_cast<int>(thread * tiling.rows / threads); row < end; ++row) {
            body(static_cast<int>(thread), row);
        }
    });
}

/// body(begin, end) for parts of 0 to count, in any order.
template <class Body>
void in_parts(std::ptrdiff_t count, int part, int threads, const Body& body) {
    parallel::for_each((count + part - 1) / part, threads, [&](std::ptrdiff_t i) {
        body(static_cast<int>(i * part), static_cast<int>(std::min(count, (i + 1) * part)));
    });
}

/// Takes arrays, each aligned to 64 bytes, from one block of memory; from null it only counts the bytes.
class Carver {
  public:
    explicit Carver(void* memory) : memory_(memory) {}

    template <class T>
    void take(T*& part, std::ptrdiff_t count) {
        if (memory_) part = reinterpret_cast<T*>(static_cast<std::byte*>(memory_) + bytes_);
        bytes_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    }

    std::size_t bytes() const { return bytes_; }

  private:
    void* memory_;
    std::size_t bytes_ = 0;
};

}  // namespace edgeseg::dense_crf
