// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/host_rows.h"

namespace prefscore::host {
namespace {

// Normalises the values of a row, per head or as a whole.
void Normalize(const kernels::PrepareHeadsArgs& args, std::vector<float>& row) {
  if (!args.norm.weight) return;
  const std::int64_t size = args.norm_whole_row ? args.num_heads * args.head_dim : args.head_dim;
  const int num_lanes = args.norm_whole_row ? kernels::kHeadLanes : kernels::kWarpLanes;
  for (std::int64_t first = 0; first < static_cast<std::int64_t>(row.size()); first += size) {
    const std::span<float> values = std::span(row).subspan(first, size);
    const NormScale by = ScaleOf(args.norm, values, num_lanes, /*run=*/1);
    for (std::int64_t i = 0; i < size; ++i) values[i] = Normalized(args.norm, by, values[i], i);
  }
}

void Rotate(const float* cosines, const float* sines, std::int64_t half, float* head) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float first = head[i];
    const float second = head[half + i];
    head[i] = first * cosines[i] - second * sines[i];
    head[half + i] = second * cosines[i] + first * sines[i];
  }
}

}  // namespace

void PrepareHeads(const kernels::PrepareHeadsArgs& args) {
  WithElement(args.type, [&]<typename Element>(Element) {
    const std::int64_t width = args.num_heads * args.head_dim;
    std::vector<float> row(width);
    for (std::int64_t i = 0; i < args.num_rows; ++i) {
      const std::int64_t source = args.source_rows ? args.source_rows[i] : i;
      const auto* projection = static_cast<const Element*>(args.projection) + source * args.stride;
      for (std::int64_t j = 0; j < width; ++j) {
        row[j] = args.bias ? kernels::ToFloat(projection[j]) + args.bias[j] : kernels::ToFloat(projection[j]);
      }
      Normalize(args, row);
      if (args.cosines) {
        const std::int64_t table_row = args.rope_rows[i] * args.half;
        for (std::int64_t head = 0; head < args.num_heads; ++head) {
          Rotate(args.cosines + table_row, args.sines + table_row, args.half, row.data() + head * args.head_dim);
        }
      }
      auto* out = static_cast<Element*>(args.out) + i * width;
      for (std::int64_t j = 0; j < width; ++j) out[j] = kernels::RoundTo<Element>(row[j]);
    }
  });
}

}  // namespace prefscore::host
