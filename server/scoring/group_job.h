// SPDX-License-Identifier: Apache-2.0
// The scorer's work as the scheduler sees it: groups to be run under models.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "server/batching/scheduler.h"
#include "server/scoring/hosted_model.h"
#include "server/scoring/types.h"

namespace prefscore {

// One group under one model. Two with the same group and weights are computed once.
struct GroupForward {
  const HostedModel* model = nullptr;
  std::shared_ptr<const PromptGroup> group;
  std::vector<CompletionScore> scores;  // [completions], set by RunGroupJobs
};

struct GroupJob : Job {
  std::vector<GroupForward> forwards;

  // Where a completion of the request went: which distinct prompt, and which completion of that prompt's group.
  struct Location {
    std::size_t prompt_idx;
    std::size_t completion_idx;
  };
  std::vector<Location> locations;  // [completions of the request], ScoreCompletions only

  // Sets num_tokens from the forwards.
  void CountTokens();
};

using ForwardObserver = std::function<void(const HostedModel&, absl::Duration)>;

// Runs a batch: each model reads the groups that want it, packed together, one model after the other. Sets every job's
// status; where a batch fails as a whole, its jobs are tried alone, so that one cannot harm another.
void RunGroupJobs(const std::vector<JobPtr>& jobs, const ForwardObserver& on_forward);

}  // namespace prefscore
