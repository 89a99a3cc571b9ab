// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/device_rows.cuh"

namespace prefscore::cuda {
namespace {

constexpr int kLanes = 128;

// Each lane moves one word of one row.
template <typename Word>
__global__ void __launch_bounds__(kLanes)
    GatherRowsKernel(const Word* source, const std::int32_t* rows, std::int64_t words_per_row, unsigned blocks_per_row,
                     Word* out) {
  const std::int64_t row = blockIdx.x / blocks_per_row;
  const std::int64_t word = blockIdx.x % blocks_per_row * std::int64_t{kLanes} + threadIdx.x;
  if (word < words_per_row) out[row * words_per_row + word] = source[rows[row] * words_per_row + word];
}

template <typename Word>
bool LaunchFor(const kernels::GatherRowsArgs& args, cudaStream_t stream) {
  if (!IsAligned(static_cast<const std::byte*>(args.source), args.row_bytes, sizeof(Word)) ||
      !IsAligned(static_cast<const std::byte*>(args.out), args.row_bytes, sizeof(Word))) {
    return false;
  }
  const std::int64_t words_per_row = args.row_bytes / static_cast<std::int64_t>(sizeof(Word));
  const std::int64_t blocks_per_row = CeilDivide(words_per_row, kLanes);
  Launch(GatherRowsKernel<Word>, args.num_rows * blocks_per_row, kLanes, 0, stream,
         static_cast<const Word*>(args.source), args.rows, words_per_row, static_cast<unsigned>(blocks_per_row),
         static_cast<Word*>(args.out));
  return true;
}

}  // namespace

void GatherRows(const kernels::GatherRowsArgs& args, cudaStream_t stream) {
  if (args.num_rows == 0 || args.row_bytes == 0) return;
  LaunchFor<uint4>(args, stream) || LaunchFor<std::uint32_t>(args, stream) || LaunchFor<std::uint8_t>(args, stream);
}

}  // namespace prefscore::cuda
