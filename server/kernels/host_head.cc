// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "server/kernels/host_rows.h"
#include "server/kernels/online_sum.h"

namespace prefscore::host {

void HeadTile(const kernels::HeadTileArgs& args) {
  for (std::int64_t row = 0; row < args.num_rows; ++row) {
    const float* logits = args.logits + row * args.stride;
    kernels::PartialSum total = args.first_column == 0 ? kernels::kEmptySum : args.sums[row];
    for (std::int64_t step = 0; step < args.num_columns; step += kernels::kLogitStep) {
      const std::int64_t size = std::min(kernels::kLogitStep, args.num_columns - step);
      std::vector<float> values(size);
      float maximum = total.maximum;
      for (std::int64_t i = 0; i < size; ++i) {
        values[i] = kernels::Capped(args.softcap, logits[step + i]);
        maximum = std::fmax(maximum, values[i]);
      }
      std::int32_t argmax = total.argmax;
      if (maximum > total.maximum) {
        const auto first = std::find(values.begin(), values.end(), maximum) - values.begin();
        argmax = static_cast<std::int32_t>(args.first_column + step + first);
      }
      const float reference = kernels::ReferenceOf(maximum);
      std::vector<float> lanes(kernels::kLogitLanes, 0.0f);
      for (std::int64_t i = 0; i < size; ++i) {
        lanes[i / kernels::kQuad % kernels::kLogitLanes] += kernels::Exp(values[i] - reference);
      }
      total = kernels::Extended(total, maximum, argmax, SumLanes(std::vector<double>(lanes.begin(), lanes.end())));
    }
    args.sums[row] = total;
  }
  for (std::int64_t i = 0; i < args.num_targets; ++i) {
    const std::int64_t column = args.target_tokens[i] - args.first_column;
    if (column < 0 || column >= args.num_columns) continue;
    args.target_logits[i] = kernels::Capped(args.softcap, args.logits[args.target_rows[i] * args.stride + column]);
  }
}

void FinishTargets(const kernels::FinishTargetsArgs& args) {
  for (std::int64_t i = 0; i < args.num_targets; ++i) {
    args.scores[i] = kernels::ScoreOf(args.target_tokens[i], args.target_logits[i], args.sums[args.target_rows[i]]);
  }
}

}  // namespace prefscore::host
