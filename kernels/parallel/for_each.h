#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "parallel/thread_pool.h"

namespace edgeseg::parallel {

/// The CPU driver: body(i) for i in [0, count), in any order, on up to `threads` threads. A body that takes less than
/// some microseconds is better a loop over many.
template <class Body>
void for_each(std::ptrdiff_t count, int threads, const Body& body) {
    struct Loop {
        const Body& body;
        const std::ptrdiff_t count;
        std::atomic<std::ptrdiff_t> next = 0;
    } loop{body, count};
    const auto take_turns = [](void* context) {
        auto& loop = *static_cast<Loop*>(context);
        for (std::ptrdiff_t i; (i = loop.next.fetch_add(1, std::memory_order_relaxed)) < loop.count;) loop.body(i);
    };
    ThreadPool::instance().run(static_cast<int>(std::min<std::ptrdiff_t>(threads, count)), take_turns, &loop);
}

/// As many of `threads` as are worth waking for this many values.
inline int threads_worth(int threads, std::ptrdiff_t values) {
    constexpr std::ptrdiff_t kValuesPerThread = 1 << 15;
    return static_cast<int>(std::min<std::ptrdiff_t>(threads, values / kValuesPerThread + 1));
}

}  // namespace edgeseg::parallel
