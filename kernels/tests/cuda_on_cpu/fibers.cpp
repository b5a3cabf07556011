#include "fibers.h"

#include <cuda_runtime.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "dense_crf/block.cuh"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace edgeseg {

// With room behind it, which has to stay as it is.
alignas(16) unsigned char dense_crf::gpu::shared_memory[2 * cuda_on_cpu::kSharedBytes];

namespace cuda_on_cpu {
namespace {

using dense_crf::gpu::kMostThreads;
using dense_crf::gpu::shared_memory;

constexpr int kWarp = 32;
constexpr std::size_t kStackBytes = 64 * 1024;
constexpr unsigned char kGuard = 0x5a;

enum class State { kReady, kAtWarpBarrier, kAtBlockBarrier, kDone };

struct Fiber {
    ucontext_t context;
    State state;
    dim3 index;
    int number;  // in the block
};

std::mt19937 random_order;
Fiber fibers[kMostThreads];
const std::unique_ptr<char[]> stacks(new char[kMostThreads * kStackBytes]);
ucontext_t scheduler;
Fiber* running = nullptr;
const std::function<void()>* body_of_all = nullptr;
std::uint64_t exchanged[kMostThreads];

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "cuda_on_cpu: %s\n", what);
    std::abort();
}

void leave(State state) {
    Fiber& self = *running;
    self.state = state;
    swapcontext(&self.context, &scheduler);
}

void run_fiber() {
    (*body_of_all)();
    leave(State::kDone);
}

void begin_fiber(Fiber& fiber, char* stack) {
    fiber.state = State::kReady;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_fiber, 0);
}

/// Puts all threads of a block at its beginning.
void begin_block(const dim3& threads, int count) {
    for (int i = 0; i < count; ++i) {
        fibers[i].number = i;
        fibers[i].index = dim3(i % threads.x, i / threads.x);
        begin_fiber(fibers[i], stacks.get() + i * kStackBytes);
    }
}

/// Runs the threads that can, each up to its next barrier. Returns whether there were any.
bool run_ready(int count) {
    int ready[kMostThreads];
    int ready_count = 0;
    for (int i = 0; i < count; ++i) {
        if (fibers[i].state == State::kReady) ready[ready_count++] = i;
    }
    std::shuffle(ready, ready + ready_count, random_order);
    for (int i = 0; i < ready_count; ++i) {
        running = &fibers[ready[i]];
        threadIdx = running->index;
        swapcontext(&scheduler, &running->context);
    }
    return ready_count > 0;
}

/// Lets some of the warps go on that wait for themselves, at least one. Returns whether there were any.
bool release_warps(int count) {
    int waiting_warps[kMostThreads / kWarp];
    int waiting_count = 0;
    for (int first = 0; first < count; first += kWarp) {
        const int end = std::min(count, first + kWarp);
        int waiting = 0;
        for (int i = first; i < end; ++i) waiting += fibers[i].state == State::kAtWarpBarrier;
        if (waiting == 0) continue;
        if (waiting < kWarp) fail("some threads of a warp wait for others that do not come");
        waiting_warps[waiting_count++] = first;
    }
    std::shuffle(waiting_warps, waiting_warps + waiting_count, random_order);
    for (int w = 0; w < waiting_count; ++w) {
        if (w > 0 && random_order() % 2) break;
        for (int i = waiting_warps[w]; i < waiting_warps[w] + kWarp; ++i) fibers[i].state = State::kReady;
    }
    return waiting_count > 0;
}

/// Lets the block go on from its barrier. Returns whether any thread is left.
bool release_block(int count) {
    int done = 0;
    for (int i = 0; i < count; ++i) done += fibers[i].state == State::kDone;
    if (done == count) return false;
    if (done > 0) fail("some threads of a block wait for others that have ended");
    for (int i = 0; i < count; ++i) fibers[i].state = State::kReady;
    return true;
}

}  // namespace

void run_blocks(const dim3& blocks, const dim3& threads, std::size_t shared_bytes, const std::function<void()>& body) {
    const int count = static_cast<int>(threads.x * threads.y);
    if (count == 0 || count > kMostThreads || blocks.x == 0 || blocks.y == 0) fail("the grid cannot be launched");
    if (shared_bytes > kSharedBytes) fail("too much shared memory");
    gridDim = blocks;
    blockDim = threads;
    body_of_all = &body;

    std::vector<dim3> order;
    for (unsigned y = 0; y < blocks.y; ++y) {
        for (unsigned x = 0; x < blocks.x; ++x) order.emplace_back(x, y);
    }
    std::shuffle(order.begin(), order.end(), random_order);
    unsigned char* const guard = shared_memory + shared_bytes;
    unsigned char* const end = shared_memory + sizeof shared_memory;
    std::fill(guard, end, kGuard);
    for (const dim3& block : order) {
        blockIdx = block;
        std::fill(shared_memory, guard, static_cast<unsigned char>(random_order()));
        begin_block(threads, count);
        while (run_ready(count) || release_warps(count) || release_block(count)) {
        }
        if (std::any_of(guard, end, [](unsigned char byte) { return byte != kGuard; })) {
            fail("a block wrote beyond its shared memory");
        }
    }
}

void set_order(unsigned seed) {
    random_order.seed(seed);
}

void wait_for_block() {
    leave(State::kAtBlockBarrier);
}

void wait_for_warp() {
    leave(State::kAtWarpBarrier);
}

int lane() {
    return running->number % kWarp;
}

const std::uint64_t* exchange(std::uint64_t value) {
    exchanged[running->number] = value;
    wait_for_warp();
    return exchanged + running->number / kWarp * kWarp;
}

}  // namespace cuda_on_cpu
}  // namespace edgeseg
