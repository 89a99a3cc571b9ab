// SPDX-License-Identifier: Apache-2.0
#include "server/models/matrix.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <new>

namespace prefscore {
namespace {

constexpr std::size_t kMinKeptBytes = std::size_t{64} << 10;
// A layer's matrices at 4,096 rows of a small model take 150 MB in turn: with less, each would find its own gone.
constexpr std::size_t kMaxKeptBytes = std::size_t{256} << 20;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

struct Block {
  void* memory;
  std::size_t num_bytes;
};

// Blocks that nobody uses, oldest first.
struct KeptBlocks {
  std::mutex mutex;
  std::deque<Block> blocks;
  std::size_t num_bytes = 0;
};

KeptBlocks& Kept() {
  static KeptBlocks* kept = new KeptBlocks;  // outlives every static object that owns a matrix
  return *kept;
}

// A block is at least as large as asked for, in eight steps to each doubling, so that batches of nearly equal size share
// blocks. What is beyond the matrix is never touched.
std::size_t BlockBytes(std::size_t num_bytes) {
  const std::size_t step = num_bytes < kMinKeptBytes ? 64 : std::bit_floor(num_bytes) / 8;
  return std::max<std::size_t>((num_bytes + step - 1) / step * step, 64);
}

// Null where there is none. Large blocks ask for huge pages: clearing 4 KiB at a time took half of a server's start, and
// a GEMM that streams weights misses fewer translations.
void* Allocate(std::size_t num_bytes) {
  if (num_bytes < kHugePageBytes) return std::aligned_alloc(64, num_bytes);
  void* memory = std::aligned_alloc(kHugePageBytes, (num_bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes);
  if (memory) madvise(memory, num_bytes, MADV_HUGEPAGE);  // only a hint: its failure costs time, not correctness
  return memory;
}

void* TakeKept(std::size_t num_bytes) {
  KeptBlocks& kept = Kept();
  std::lock_guard lock(kept.mutex);
  const auto found = std::find_if(kept.blocks.rbegin(), kept.blocks.rend(),
                                  [&](const Block& block) { return block.num_bytes == num_bytes; });
  if (found == kept.blocks.rend()) return nullptr;
  void* memory = found->memory;
  kept.num_bytes -= num_bytes;
  kept.blocks.erase(std::prev(found.base()));
  return memory;
}

}  // namespace

void* TakeMemory(std::size_t num_bytes) {
  num_bytes = BlockBytes(num_bytes);
  if (num_bytes >= kMinKeptBytes) {
    if (void* memory = TakeKept(num_bytes)) return memory;
  }
  void* memory = Allocate(num_bytes);
  if (!memory) throw std::bad_alloc();
  return memory;
}

void GiveBackMemory(void* memory, std::size_t num_bytes) {
  num_bytes = BlockBytes(num_bytes);
  if (num_bytes < kMinKeptBytes || num_bytes > kMaxKeptBytes) return std::free(memory);
  KeptBlocks& kept = Kept();
  std::lock_guard lock(kept.mutex);
  kept.blocks.push_back({memory, num_bytes});
  kept.num_bytes += num_bytes;
  while (kept.num_bytes > kMaxKeptBytes) {
    std::free(kept.blocks.front().memory);
    kept.num_bytes -= kept.blocks.front().num_bytes;
    kept.blocks.pop_front();
  }
}

}  // namespace prefscore
