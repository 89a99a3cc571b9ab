// SPDX-License-Identifier: Apache-2.0
// What a piece of work costs: before it is tokenised, as far as its content tells, and exactly afterwards.
#pragma once

#include <cstdint>

#include "server/scoring/group_job.h"
#include "server/scoring/types.h"

namespace prefscore {

// Memory of a forward pass per row of it: hidden states, projections and MLP of one layer in float32, for a hidden size
// of about 1024; and per head row, whose logits are made and reduced tile by tile. Estimates, for the budget of a batch.
inline constexpr std::int64_t kBatchBytesPerRow = 64 << 10;
inline constexpr std::int64_t kBatchBytesPerHeadRow = 4 << 10;

// Held per pair or prompt beside its content, ids and scores.
inline constexpr std::int64_t kQueuedBytesPerGroup = 1 << 10;

// Content as it was sent: its memory, and its ids where it has ids.
struct ContentSize {
  std::int64_t num_bytes = 0;
  std::int64_t num_text_bytes = 0;
  std::int64_t num_ids = 0;
};
ContentSize SizeOf(const GroupContent& content);

// Of one pass over one group: the prompt's rows see their own past, a completion's also the prompt; a completion's last
// token has no row, and its first is predicted by the prompt's last row.
ForwardWork WorkOf(const PromptGroup& group);

// The same of what must be computed: nothing of a completion whose log-probs are cached.
ForwardWork WorkOf(const GroupForward& forward);

// Fills all costs of a job from what must be computed of its forwards; num_tokens is 0 where nothing must. Of equal groups
// under the same weights, one counts for the batch: work and num_batch_bytes. What waits is counted as asked in tokens,
// and in bytes as it is held: a group's ids once, whichever models share them, and room for each score.
void SetCost(GroupJob& job);

}  // namespace prefscore
