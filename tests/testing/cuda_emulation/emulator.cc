// SPDX-License-Identifier: Apache-2.0
// Every lane of a block is a fiber: a stack of its own, and a switch that saves what a call must keep (x86-64).
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "cuda_runtime.h"

dim3 threadIdx, blockIdx, blockDim;

namespace prefscore::cuda {
inline constexpr std::size_t kMaxSharedBytes = 227 * 1024;  // of a block on sm_90
extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];
__shared__ __align__(16) unsigned char dynamic_shared_memory[kMaxSharedBytes];
}  // namespace prefscore::cuda

// Goes on at `to`, having put the own stack pointer into *from.
extern "C" void SwitchFiber(void** from, void* to);
asm(R"(
.globl SwitchFiber
SwitchFiber:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");

namespace prefscore::testing {
namespace {

constexpr int kWarpLanes = 32;
constexpr int kMaxLanes = 1024;
constexpr std::size_t kStackBytes = 64 * 1024;

enum class State { kReady, kAtWarpBarrier, kAtBlockBarrier, kDone };

struct Lane {
  std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
  void* stack_pointer = nullptr;
  State state = State::kReady;
  dim3 index;
  // What a shuffle puts down, in two places by turns: a lane that is one shuffle ahead spoils nothing, and none is two.
  std::array<std::array<std::byte, 8>, 2> exchanged;
  int turn = 0;
};

[[noreturn]] void Die(const char* why) {
  std::fprintf(stderr, "CUDA emulation: %s (block %u)\n", why, blockIdx.x);
  std::abort();
}

std::vector<Lane> lanes(kMaxLanes);
int num_lanes = 0;
int current = 0;
void* scheduler = nullptr;  // its stack pointer
const std::function<void()>* lane_function = nullptr;
std::mt19937 random_order(1);
cudaError_t last_error = cudaSuccess;

void Leave(State state) {
  lanes[current].state = state;
  SwitchFiber(&lanes[current].stack_pointer, scheduler);
}

void RunLane() {
  (*lane_function)();
  Leave(State::kDone);
  Die("a lane that has ended runs");
}

void Prepare(int i, dim3 block) {
  Lane& lane = lanes[i];
  lane.state = State::kReady;
  lane.turn = 0;
  lane.index = dim3(i % block.x, i / block.x % block.y, i / block.x / block.y);
  // As if RunLane had been called and had switched away: six registers, then its address; aligned as a call leaves it.
  auto* top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(lane.stack.get() + kStackBytes) / 16 * 16);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(RunLane);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  lane.stack_pointer = top;
}

// Lets the lanes [first, end) on if all of them that have not ended wait at the barrier. Returns whether any did.
bool Release(State barrier, int first, int end) {
  bool any = false;
  for (int i = first; i < end; ++i) {
    if (lanes[i].state != barrier && lanes[i].state != State::kDone) return false;
    any |= lanes[i].state == barrier;
  }
  for (int i = first; i < end; ++i) {
    if (lanes[i].state == barrier) lanes[i].state = State::kReady;
  }
  return any;
}

void RunBlock() {
  std::vector<int> order(num_lanes);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random_order);
  int num_done = 0;
  while (num_done < num_lanes) {
    bool progress = false;
    for (const int i : order) {
      if (lanes[i].state != State::kReady) continue;
      progress = true;
      current = i;
      threadIdx = lanes[i].index;
      SwitchFiber(&scheduler, lanes[i].stack_pointer);
      num_done += lanes[i].state == State::kDone;
    }
    for (int warp = 0; warp < num_lanes; warp += kWarpLanes) {
      progress |= Release(State::kAtWarpBarrier, warp, warp + kWarpLanes);
    }
    progress |= Release(State::kAtBlockBarrier, 0, num_lanes);
    if (!progress) Die("lanes wait at different barriers");
  }
}

}  // namespace

cudaError_t Emulate(const cudaLaunchConfig_t& config, const std::function<void()>& lane) {
  num_lanes = static_cast<int>(config.blockDim.x * config.blockDim.y * config.blockDim.z);
  if (num_lanes % kWarpLanes != 0) Die("blocks of whole warps only");
  if (num_lanes > kMaxLanes || config.dynamicSmemBytes > cuda::kMaxSharedBytes || config.gridDim.x == 0) {
    return last_error = cudaErrorInvalidConfiguration;
  }
  lane_function = &lane;
  blockDim = config.blockDim;
  for (unsigned block = 0; block < config.gridDim.x; ++block) {
    blockIdx = dim3(block, 0, 0);
    std::fill_n(cuda::dynamic_shared_memory, config.dynamicSmemBytes, 0xFF);  // NaN, so that stale values show
    for (int i = 0; i < num_lanes; ++i) Prepare(i, config.blockDim);
    RunBlock();
  }
  return cudaSuccess;
}

void SynchronizeBlock() { Leave(State::kAtBlockBarrier); }
void SynchronizeWarp() { Leave(State::kAtWarpBarrier); }

void Exchange(int lane_bits, std::size_t size, const void* mine, void* theirs) {
  const int turn = lanes[current].turn++ % 2;
  std::memcpy(lanes[current].exchanged[turn].data(), mine, size);
  SynchronizeWarp();
  const Lane& other = lanes[current ^ lane_bits];
  if (other.turn < lanes[current].turn) Die("a shuffle with a lane that takes no part");
  std::memcpy(theirs, other.exchanged[turn].data(), size);
}

}  // namespace prefscore::testing

cudaError_t cudaGetLastError() { return std::exchange(prefscore::testing::last_error, cudaSuccess); }
