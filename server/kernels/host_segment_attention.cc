// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "server/kernels/host_rows.h"

namespace prefscore::host {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float Score(const kernels::SegmentAttentionArgs& args, std::span<const float> query, const auto* key) {
  float dot = 0.0f;
  for (std::int64_t d = 0; d < args.head_dim; ++d) dot = std::fma(query[d], kernels::ToFloat(key[d]), dot);
  const float score = dot * args.scale;
  return args.softcap > 0.0f ? args.softcap * kernels::Tanh(score / args.softcap) : score;
}

// One head of one query over the keys [begin, end) of its segment, in steps of kKeyStep by the online softmax.
template <typename Element>
void AttendOne(const kernels::SegmentAttentionArgs& args, const Element* query, const Element* keys,
               const Element* values, std::int64_t begin, std::int64_t end, Element* out) {
  const std::int64_t key_stride = args.num_kv_heads * args.head_dim;
  std::vector<float> query_values(args.head_dim);
  for (std::int64_t d = 0; d < args.head_dim; ++d) query_values[d] = kernels::ToFloat(query[d]);
  std::vector<float> sums(args.head_dim, 0.0f);
  float maximum = -kInfinity;
  float total = 0.0f;
  for (std::int64_t step = begin / kernels::kKeyStep * kernels::kKeyStep; step < end; step += kernels::kKeyStep) {
    std::vector<float> weights(kernels::kKeyStep, -kInfinity);  // scores at first
    const auto visible = [&](std::int64_t lane) { return step + lane >= begin && step + lane < end; };
    float new_maximum = maximum;
    for (int lane = 0; lane < kernels::kKeyStep; ++lane) {
      if (!visible(lane)) continue;
      weights[lane] = Score(args, query_values, keys + (step + lane) * key_stride);
      new_maximum = std::fmax(new_maximum, weights[lane]);
    }
    const float reference = new_maximum == -kInfinity ? 0.0f : new_maximum;
    const float shrink = kernels::Exp(maximum - reference);
    for (int lane = 0; lane < kernels::kKeyStep; ++lane) {
      weights[lane] = visible(lane) ? kernels::Exp(weights[lane] - reference) : 0.0f;
    }
    maximum = new_maximum;
    total = total * shrink + SumLanes(weights);
    for (float& sum : sums) sum *= shrink;
    for (int lane = 0; lane < kernels::kKeyStep; ++lane) {
      if (weights[lane] == 0.0f) continue;  // what is not seen may be NaN
      const Element* value = values + (step + lane) * key_stride;
      for (std::int64_t d = 0; d < args.head_dim; ++d) {
        sums[d] = std::fma(weights[lane], kernels::ToFloat(value[d]), sums[d]);
      }
    }
  }
  const float inverse = 1.0f / total;
  for (std::int64_t d = 0; d < args.head_dim; ++d) out[d] = kernels::RoundTo<Element>(sums[d] * inverse);
}

}  // namespace

void SegmentAttention(const kernels::SegmentAttentionArgs& args) {
  WithElement(args.type, [&]<typename Element>(Element) {
    const std::int64_t heads_per_kv_head = args.num_heads / args.num_kv_heads;
    for (std::int64_t segment = 0; segment < args.num_segments; ++segment) {
      const std::int64_t num_queries = args.first_queries[segment + 1] - args.first_queries[segment];
      const std::int64_t num_keys = args.first_keys[segment + 1] - args.first_keys[segment];
      for (std::int64_t i = 0; i < num_queries * args.num_heads; ++i) {
        const std::int64_t query = i / args.num_heads;
        const std::int64_t head = i % args.num_heads;
        const std::int64_t end = query + num_keys - num_queries + 1;
        const std::int64_t begin = args.window > 0 ? std::max<std::int64_t>(0, end - args.window) : 0;
        const std::int64_t query_offset =
            ((args.first_queries[segment] + query) * args.num_heads + head) * args.head_dim;
        const std::int64_t key_offset =
            (args.first_keys[segment] * args.num_kv_heads + head / heads_per_kv_head) * args.head_dim;
        AttendOne(args, static_cast<const Element*>(args.queries) + query_offset,
                  static_cast<const Element*>(args.keys) + key_offset,
                  static_cast<const Element*>(args.values) + key_offset, begin, end,
                  static_cast<Element*>(args.out) + query_offset);
      }
    }
  });
}

}  // namespace prefscore::host
