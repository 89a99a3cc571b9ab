// SPDX-License-Identifier: Apache-2.0
// Prompt groups laid out as rows of one matrix: P | C1 | C2 | P' | C1' ... without padding.
//
// A row is an input token. A completion's last token predicts nothing that is asked for and has no row; its first token
// is predicted by the prompt's last row, which serves all completions. Where completions of one group need different
// rotary frequencies (rope.h), the group's prompt is laid out once for each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/kernels/kernels.h"
#include "server/models/causal_lm.h"
#include "server/models/decoder_config.h"

namespace prefscore {

// Consecutive rows at consecutive positions that see each other causally, and a completion's also its prompt's rows.
struct Segment {
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
  std::int64_t first_position = 0;  // number of prompt tokens, or 0 in a prompt
  int prompt_segment = -1;          // -1: this is a prompt
  int rope_variant = 0;             // index into PackedBatch::rope_lengths
};

// Where the rows of a segment that take part as queries lie in a matrix of such rows: the last num_rows of the segment.
struct QueryRows {
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
};

struct HeadTarget {
  std::int64_t head_row = 0;  // index into PackedBatch::head_rows
  TokenId token = 0;          // whose log-probability that row gives
};

struct PackedBatch {
  std::vector<TokenId> tokens;          // [num_rows]
  std::vector<std::int64_t> positions;  // [num_rows]
  std::vector<Segment> segments;
  std::vector<QueryRows> all_queries;   // every row of each segment
  std::vector<QueryRows> head_queries;  // of each segment the rows that predict completion tokens
  std::vector<std::int64_t> head_rows;  // the rows that predict completion tokens, ascending
  std::vector<HeadTarget> targets;      // completion by completion, in token order

  // Sequence lengths that stand for the sets of rotary frequencies in use.
  std::vector<std::int64_t> rope_lengths;

  std::int64_t num_rows() const { return static_cast<std::int64_t>(tokens.size()); }
  std::int64_t num_positions = 0;  // 1 + the highest position

  // First target of each group's completions. [num_groups][num_completions]
  std::vector<std::vector<std::int64_t>> first_targets;
};

PackedBatch PackGroups(std::span<const PromptGroup* const> groups, std::span<const RopeConfig> ropes);

// Cuts one score per target into groups, completions and tokens.
std::vector<GroupTokenLogProbs> UnpackTargets(const PackedBatch& batch, std::span<const PromptGroup* const> groups,
                                              std::span<const kernels::TargetScore> scores);

}  // namespace prefscore
