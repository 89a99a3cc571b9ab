// SPDX-License-Identifier: Apache-2.0
#include "server/models/packed_batch.h"

#include <algorithm>
#include <cstddef>

#include "server/models/rope.h"

namespace prefscore {
namespace {

using LengthKeys = std::vector<std::int64_t>;  // one of each rope

LengthKeys KeysOf(std::span<const RopeConfig> ropes, std::int64_t sequence_length) {
  LengthKeys keys;
  for (const RopeConfig& rope : ropes) keys.push_back(RopeLengthKey(rope, sequence_length));
  return keys;
}

// Index of the variant with these frequencies, added where it is new.
int FindVariant(std::span<const RopeConfig> ropes, std::int64_t sequence_length, std::vector<LengthKeys>& variants,
                PackedBatch& batch) {
  const LengthKeys keys = KeysOf(ropes, sequence_length);
  const auto found = std::find(variants.begin(), variants.end(), keys);
  if (found != variants.end()) return static_cast<int>(found - variants.begin());
  variants.push_back(keys);
  batch.rope_lengths.push_back(sequence_length);
  return static_cast<int>(variants.size()) - 1;
}

// Appends rows for `tokens`; of them the last num_head_rows predict completion tokens.
void AppendSegment(std::span<const TokenId> tokens, Segment segment, std::int64_t num_head_rows, PackedBatch& batch) {
  segment.first_row = batch.num_rows();
  segment.num_rows = static_cast<std::int64_t>(tokens.size());
  batch.segments.push_back(segment);
  batch.all_queries.push_back({segment.first_row, segment.num_rows});
  batch.head_queries.push_back({static_cast<std::int64_t>(batch.head_rows.size()), num_head_rows});
  for (std::int64_t i = segment.num_rows - num_head_rows; i < segment.num_rows; ++i) {
    batch.head_rows.push_back(segment.first_row + i);
  }
  batch.tokens.insert(batch.tokens.end(), tokens.begin(), tokens.end());
  for (std::int64_t i = 0; i < segment.num_rows; ++i) batch.positions.push_back(segment.first_position + i);
  batch.num_positions = std::max(batch.num_positions, segment.first_position + segment.num_rows);
}

void AppendCompletion(const TokenIds& completion, int prompt_segment, PackedBatch& batch) {
  const Segment prompt = batch.segments[prompt_segment];
  batch.targets.push_back({batch.head_queries[prompt_segment].first_row, completion.front()});
  if (completion.size() == 1) return;
  const std::int64_t num_rows = static_cast<std::int64_t>(completion.size()) - 1;
  const std::int64_t first_head_row = static_cast<std::int64_t>(batch.head_rows.size());
  AppendSegment(std::span(completion).first(num_rows),
                {.first_position = prompt.num_rows,
                 .prompt_segment = prompt_segment,
                 .rope_variant = prompt.rope_variant},
                num_rows, batch);
  for (std::int64_t i = 0; i < num_rows; ++i) batch.targets.push_back({first_head_row + i, completion[i + 1]});
}

}  // namespace

PackedBatch PackGroups(std::span<const PromptGroup* const> groups, std::span<const RopeConfig> ropes) {
  PackedBatch batch;
  std::vector<LengthKeys> variants;
  for (const PromptGroup* group : groups) {
    std::vector<int> completion_variants;
    for (const TokenIds& completion : group->completions) {
      const auto length = static_cast<std::int64_t>(group->prompt.size() + completion.size());
      completion_variants.push_back(FindVariant(ropes, length, variants, batch));
    }
    std::vector<std::int64_t>& first_targets = batch.first_targets.emplace_back(group->completions.size());
    for (int variant = 0; variant < static_cast<int>(variants.size()); ++variant) {
      int prompt_segment = -1;
      for (std::size_t i = 0; i < group->completions.size(); ++i) {
        if (completion_variants[i] != variant) continue;
        if (prompt_segment < 0) {
          prompt_segment = static_cast<int>(batch.segments.size());
          AppendSegment(group->prompt, {.rope_variant = variant}, 1, batch);
        }
        first_targets[i] = static_cast<std::int64_t>(batch.targets.size());
        AppendCompletion(group->completions[i], prompt_segment, batch);
      }
    }
  }
  return batch;
}

std::vector<GroupTokenLogProbs> UnpackTargets(const PackedBatch& batch, std::span<const PromptGroup* const> groups,
                                              std::span<const kernels::TargetScore> scores) {
  std::vector<GroupTokenLogProbs> results(groups.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t c = 0; c < groups[g]->completions.size(); ++c) {
      CompletionLogProbs& result = results[g].emplace_back(CompletionLogProbs{.token_logps = {}, .is_greedy_match = true});
      for (const auto& token : scores.subspan(batch.first_targets[g][c], groups[g]->completions[c].size())) {
        result.token_logps.push_back(token.log_prob);
        result.is_greedy_match = result.is_greedy_match && token.is_argmax;
      }
    }
  }
  return results;
}

}  // namespace prefscore
