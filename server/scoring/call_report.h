// SPDX-License-Identifier: Apache-2.0
// What a call took, for who asked and for the log. Its durations are of phases that follow each other, by a steady clock:
// together never more than the time from ScorePairs or ScoreCompletions to `done`.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "server/scoring/hosted_model.h"

namespace prefscore {

struct GroupJob;

struct ModelTime {
  const HostedModel* model = nullptr;
  absl::Duration duration;
};

struct CallReport {
  absl::Duration tokenize;      // from being let in until the ids of all are there, waits for a thread included
  absl::Duration cache_lookup;  // of what is known already
  // Waits: to be let in, and from queueing to the first pass that computes any of the call.
  absl::Duration queue;
  // Passes that computed any of the call, each once, whole: others in the same batch are told the same time. In the order
  // of the call's models; a pass that served two of them, since their weights are equal, is told under the first.
  std::vector<ModelTime> forwards;

  std::int64_t num_tokens = 0;         // asked of models: prompt and completions, for each model
  std::int64_t num_cached_tokens = 0;  // of these, not computed since the cache had their log-probs
};

// Follows a call through its phases. Each method is called by one thread at a time, in the order of declaration; those of
// phases that a call does not reach are left out.
class CallClock {
 public:
  using Clock = std::chrono::steady_clock;

  void OnAdmitted();
  void OnPrepared();  // tokenised
  void OnCacheRead(std::int64_t num_cached_tokens);
  // The report of the call, whose jobs are done or dropped; null ones are passed over.
  CallReport Report(std::span<const std::shared_ptr<GroupJob>> jobs) const;

 private:
  const Clock::time_point arrived_ = Clock::now();
  Clock::time_point admitted_ = arrived_;
  Clock::time_point prepared_ = arrived_;
  Clock::time_point cache_read_ = arrived_;
  std::int64_t num_cached_tokens_ = 0;
};

}  // namespace prefscore
