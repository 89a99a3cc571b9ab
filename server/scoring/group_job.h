// SPDX-License-Identifier: Apache-2.0
// The scorer's work as the scheduler sees it: groups to be run under models.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "server/batching/scheduler.h"
#include "server/cache/cache_key.h"
#include "server/scoring/hosted_model.h"
#include "server/scoring/pass_runner.h"
#include "server/scoring/types.h"

namespace prefscore {

// A forward pass, shared by all that it computed.
struct ForwardPass {
  std::chrono::steady_clock::time_point start;
  std::chrono::steady_clock::duration duration;
};

// One group under one model.
struct GroupForward {
  const HostedModel* model = nullptr;
  std::shared_ptr<const PromptGroup> group;
  bool uses_cache = false;
  std::vector<CacheKey> cache_keys;     // [completions]; empty where the cache is not used
  std::vector<CompletionScore> scores;  // [completions]; those from the cache first, RunGroupJobs sets the others
  std::shared_ptr<const ForwardPass> pass;  // that computed what was missing; null where none did

  // Whether the completion must be computed.
  bool IsMissing(std::size_t completion_idx) const {
    return completion_idx >= scores.size() || !scores[completion_idx].is_from_cache;
  }
};

struct GroupJob : Job {
  std::vector<GroupForward> forwards;
  CacheMode cache_mode = CacheMode::kBypass;

  // Where a completion of the request went: which distinct prompt, and which completion of that prompt's group.
  struct Location {
    std::size_t prompt_idx;
    std::size_t completion_idx;
  };
  std::vector<Location> locations;  // [completions of the request], ScoreCompletions only
};

// A pass that was computed.
struct ForwardReport {
  const HostedModel& model;
  ForwardWork work;
  absl::Duration duration;
  std::int64_t num_tokens = 0;        // of the distinct groups that were computed
  std::int64_t num_tokens_saved = 0;  // of those that were asked beside them, equal ones
  bool was_split = false;             // memory did not do for one pass; `duration` is that of all that were tried
};
using ForwardObserver = std::function<void(const ForwardReport&)>;

// Tokens of the prompt and of the completions that must be computed; 0 where none must.
std::int64_t NumMissingTokens(const GroupForward& forward);

// Runs a batch: each model reads the distinct groups that want it, packed together, one model after the other. Sets
// every job's status: OK, or what PassRunner says where a pass fails. Where a batch fails as a whole, its jobs are tried
// alone, so that one cannot harm another. Does not throw.
void RunGroupJobs(const std::vector<JobPtr>& jobs, PassRunner& runner, const ForwardObserver& on_forward);

}  // namespace prefscore
