// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/device_rows.cuh"

namespace prefscore::cuda {
namespace {

constexpr int kLanes = 128;

// Each lane makes one quad of one row.
template <typename Element>
__global__ void __launch_bounds__(kLanes)
    EmbedKernel(const kernels::EmbedArgs args, unsigned blocks_per_row, bool wide) {
  const std::int64_t row = blockIdx.x / blocks_per_row;
  const std::int64_t first = (blockIdx.x % blocks_per_row * kLanes + threadIdx.x) * std::int64_t{kQuad};
  if (first >= args.width) return;
  const auto* token = static_cast<const Element*>(args.token_embedding) + args.tokens[row] * args.width;
  float values[kQuad];
  LoadQuad(token, first, args.width, wide, values);
#pragma unroll
  for (int c = 0; c < kQuad; ++c) values[c] *= args.scale;
  if (args.position_embedding != nullptr) {
    const auto* position = static_cast<const Element*>(args.position_embedding) + args.positions[row] * args.width;
    float added[kQuad];
    LoadQuad(position, first, args.width, wide, added);
#pragma unroll
    for (int c = 0; c < kQuad; ++c) values[c] += added[c];
  }
  StoreQuad(values, args.hidden + row * args.width, first, args.width, wide);
}

}  // namespace

void Embed(const kernels::EmbedArgs& args, cudaStream_t stream) {
  if (args.num_rows == 0) return;
  WithElement(args.type, [&]<typename Element>(Element) {
    const bool wide = IsAligned(static_cast<const Element*>(args.token_embedding), args.width, kQuad) &&
                      IsAligned(static_cast<const Element*>(args.position_embedding), args.width, kQuad) &&
                      IsAligned(args.hidden, args.width, kQuad);
    const std::int64_t blocks_per_row = CeilDivide(args.width, kLanes * kQuad);
    Launch(EmbedKernel<Element>, args.num_rows * blocks_per_row, kLanes, 0, stream, args,
           static_cast<unsigned>(blocks_per_row), wide);
  });
}

}  // namespace prefscore::cuda
