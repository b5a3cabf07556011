#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace edgeseg::parallel {

/// The threads of the process that kernels run on. They are started when first asked for and sleep soon after
/// a run; a forked child starts its own.
class ThreadPool {
  public:
    using Task = void (*)(void* context);

    static ThreadPool& instance();

    /// Calls `task(context)` once on this thread and at most once on each of `threads - 1` others, and returns when all
    /// calls have. Where the pool is at work already (another Python thread, or a task that runs a task) the others
    /// are left out: a task must finish the work whoever comes.
    void run(int threads, Task task, void* context);

  private:
    void start_up_to(int workers);
    void work();

    std::atomic<bool> busy_ = false;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable idle_;
    Task task_ = nullptr;
    void* context_ = nullptr;
    int workers_ = 0;
    int wanted_ = 0;                  // calls that no worker has taken up yet
    std::atomic<int> running_ = 0;    // calls that workers are in; changed under the mutex
    std::atomic<unsigned> runs_ = 0;  // so far; changed under the mutex
};

/// More than any machine has cores: a slip of the keyboard must not start a thread for each row of a picture.
inline constexpr int kMostThreads = 1024;

/// The number of threads to use: `requested`, within reason, or where that is 0 as many as there are cores for.
int thread_count(int requested);

}  // namespace edgeseg::parallel
