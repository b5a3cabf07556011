#include "parallel/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <thread>

#include "parallel/available_cores.h"

namespace edgeseg::parallel {
namespace {

std::atomic<ThreadPool*> current_pool = nullptr;

/// Waits some microseconds for `done()` without sleeping: the parts of a kernel follow each other that fast, and to
/// wake a thread takes longer than many of them.
template <class Done>
void spin_until(const Done& done) {
    constexpr int kTurns = 1000;
    for (int i = 0; i < kTurns && !done(); ++i) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("isb");  // a yield does not wait
#endif
    }
}

// The parent's threads do not exist in a forked child, and its mutexes may be held by them: the child starts afresh.
const int forget_pool_in_forked_child = pthread_atfork(nullptr, nullptr, [] { current_pool = nullptr; });

}  // namespace

ThreadPool& ThreadPool::instance() {
    ThreadPool* pool = current_pool.load();
    if (!pool) {
        // Never deleted: its threads may outlive every static object at exit.
        auto* fresh = new ThreadPool;
        if (current_pool.compare_exchange_strong(pool, fresh)) {
            pool = fresh;
        } else {
            delete fresh;
        }
    }
    return *pool;
}

void ThreadPool::run(int threads, Task task, void* context) {
    if (threads <= 1 || busy_.exchange(true)) return task(context);

    {
        std::lock_guard lock(mutex_);
        start_up_to(threads - 1);
        task_ = task;
        context_ = context;
        wanted_ = std::min(threads - 1, workers_);
        ++runs_;
    }
    wake_.notify_all();
    task(context);

    {
        std::lock_guard lock(mutex_);
        wanted_ = 0;
    }
    spin_until([this] { return running_ == 0; });
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
    busy_ = false;
}

void ThreadPool::start_up_to(int workers) {
    try {
        for (; workers_ < workers; ++workers_) std::thread(&ThreadPool::work, this).detach();
    } catch (const std::system_error&) {
        // The system gives no more threads: those that are there do the work.
    }
}

void ThreadPool::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        if (wanted_ == 0) {
            const unsigned seen = runs_;
            lock.unlock();
            spin_until([this, seen] { return runs_ != seen; });
            lock.lock();
        }
        wake_.wait(lock, [this] { return wanted_ > 0; });
        --wanted_;
        ++running_;
        lock.unlock();
        task_(context_);
        lock.lock();
        if (--running_ == 0) idle_.notify_one();
    }
}

int thread_count(int requested) {
    return requested > 0 ? std::min(requested, kMostThreads) : available_cores();
}

}  // namespace edgeseg::parallel
