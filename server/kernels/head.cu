// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "server/kernels/device_rows.cuh"
#include "server/kernels/online_sum.h"

namespace prefscore::cuda {
namespace {

using kernels::kLogitLanes;
using kernels::kLogitStep;

constexpr int kQuads = kLogitStep / (kLogitLanes * kQuad);  // of a lane in one step
constexpr int kWarps = kLogitLanes / kWarpLanes;
constexpr std::int32_t kNoColumn = std::numeric_limits<std::int32_t>::max();

// One block per row. A step's logits stay in registers between their maximum and their sum. Few steps raise the maximum:
// only they look for the column that did.
__global__ void __launch_bounds__(kLogitLanes) HeadTileKernel(const kernels::HeadTileArgs args, bool wide) {
  __shared__ float maxima[kWarps];
  __shared__ std::int32_t columns[kWarps];
  __shared__ double sums[kWarps];
  const float* logits = args.logits + blockIdx.x * args.stride;
  kernels::PartialSum total = kernels::kEmptySum;
  if (args.first_column != 0) total = args.sums[blockIdx.x];
  for (std::int64_t step = 0; step < args.num_columns; step += kLogitStep) {
    const auto column_of = [&](int k) { return step + (threadIdx.x + k * kLogitLanes) * kQuad; };
    float values[kQuads][kQuad];
    float maximum = total.maximum;
#pragma unroll
    for (int k = 0; k < kQuads; ++k) {
      LoadQuad(logits, column_of(k), args.num_columns, wide, values[k]);
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        values[k][c] = kernels::Capped(args.softcap, values[k][c]);
        if (column_of(k) + c < args.num_columns) maximum = fmaxf(maximum, values[k][c]);
      }
    }
    maximum = BlockMaximum(maximum, maxima);  // after its barrier all lanes have read `total`
    std::int32_t argmax = total.argmax;
    if (maximum > total.maximum) {  // in all lanes or none
      std::int32_t first = kNoColumn;
#pragma unroll
      for (int k = 0; k < kQuads; ++k) {
#pragma unroll
        for (int c = 0; c < kQuad; ++c) {
          const std::int64_t column = column_of(k) + c;
          if (column < args.num_columns && values[k][c] == maximum) first = min(first, static_cast<std::int32_t>(column));
        }
      }
      argmax = static_cast<std::int32_t>(args.first_column) + BlockMinimum(first, columns);
    }
    const float reference = kernels::ReferenceOf(maximum);
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < kQuads; ++k) {
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        if (column_of(k) + c < args.num_columns) sum += kernels::Exp(values[k][c] - reference);
      }
    }
    total = kernels::Extended(total, maximum, argmax, BlockSum(static_cast<double>(sum), sums));
  }
  if (threadIdx.x == 0) args.sums[blockIdx.x] = total;
}

__global__ void TargetLogitsKernel(const kernels::HeadTileArgs args) {
  const std::int64_t target = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (target >= args.num_targets) return;
  const std::int64_t column = args.target_tokens[target] - args.first_column;
  if (column < 0 || column >= args.num_columns) return;
  const float logit = args.logits[args.target_rows[target] * args.stride + column];
  args.target_logits[target] = kernels::Capped(args.softcap, logit);
}

__global__ void FinishTargetsKernel(const kernels::FinishTargetsArgs args) {
  const std::int64_t target = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (target >= args.num_targets) return;
  args.scores[target] = kernels::ScoreOf(args.target_tokens[target], args.target_logits[target],
                                         args.sums[args.target_rows[target]]);
}

constexpr int kTargetLanes = 256;

}  // namespace

void HeadTile(const kernels::HeadTileArgs& args, cudaStream_t stream) {
  if (args.num_rows > 0) {
    Launch(HeadTileKernel, args.num_rows, kLogitLanes, 0, stream, args, IsAligned(args.logits, args.stride, kQuad));
  }
  if (args.num_targets > 0) {
    Launch(TargetLogitsKernel, CeilDivide(args.num_targets, kTargetLanes), kTargetLanes, 0, stream, args);
  }
}

void FinishTargets(const kernels::FinishTargetsArgs& args, cudaStream_t stream) {
  if (args.num_targets == 0) return;
  Launch(FinishTargetsKernel, CeilDivide(args.num_targets, kTargetLanes), kTargetLanes, 0, stream, args);
}

}  // namespace prefscore::cuda
