// SPDX-License-Identifier: Apache-2.0
// Every distinct thing of a batch once: which prompts and completions each set of weights must read, and who asked.
//
// Equal means equal content, whatever call it came from. Merging changes no number: a completion's log-probs depend on
// the prompt's ids and its own only (causal_lm.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "server/scoring/group_job.h"
#include "server/scoring/types.h"

namespace prefscore {

// One forward pass. Points into the forwards that it was planned for.
class PlannedForward {
 public:
  const HostedModel& model() const { return *model_; }
  std::span<const PromptGroup* const> groups() const { return groups_; }  // distinct prompts, distinct completions

  std::span<GroupForward* const> forwards() const { return forwards_; }                // that asked

  std::int64_t num_tokens() const { return num_tokens_; }              // of the groups
  std::int64_t num_tokens_asked() const { return num_tokens_asked_; }  // prompt and completion, for each that was asked

  // Gives each asker its score. `scores`: [groups][completions].
  void Distribute(std::vector<std::vector<CompletionScore>> scores) const;

 private:
  friend class ForwardPlanner;

  const HostedModel* model_ = nullptr;
  std::vector<GroupForward*> forwards_;
  std::vector<const PromptGroup*> groups_;
  std::vector<std::unique_ptr<const PromptGroup>> merged_;          // those of groups_ that are nobody's own
  std::vector<std::vector<std::vector<CompletionScore*>>> askers_;  // [groups][completions][askers]
  std::int64_t num_tokens_ = 0;
  std::int64_t num_tokens_asked_ = 0;
};

// The forward passes for what is missing of `forwards`, one for each set of weights that anything is asked of. Makes
// room for all scores.
std::vector<PlannedForward> PlanBatch(std::span<GroupForward* const> forwards);

}  // namespace prefscore
