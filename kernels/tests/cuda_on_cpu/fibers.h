#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct dim3;

/// A GPU's threads on one thread of the CPU: those of a block are fibers, which run one at a time, in random order,
/// from one barrier to the next. Blocks run one after the other, in random order too. What the rules of CUDA forbid and
/// this can see ends the process with a message.
namespace edgeseg::cuda_on_cpu {

/// The memory that blocks may share.
inline constexpr std::size_t kSharedBytes = 48 * 1024;

/// What every thread of every block runs. The shared memory is filled with rubbish before each block.
void run_blocks(const dim3& blocks, const dim3& threads, std::size_t shared_bytes, const std::function<void()>& body);

/// From here on the orders, and the rubbish, are those of this seed.
void set_order(unsigned seed);

void wait_for_block();
void wait_for_warp();

/// The thread's place in its warp.
int lane();

/// Gives each lane of the warp the values of all 32, which are good until its next barrier. The whole warp has to call.
const std::uint64_t* exchange(std::uint64_t value);

}  // namespace edgeseg::cuda_on_cpu
