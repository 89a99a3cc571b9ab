// SPDX-License-Identifier: Apache-2.0
// Runs forward passes such that neither a lack of memory nor an exception ends more than what it was asked for.
//
// A pass that memory does not do for is halved, down to one prompt with one completion. What fits is remembered for a
// while: larger passes are then halved without being tried. Halving moves no number (causal_lm.h).
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/scoring/hosted_model.h"
#include "server/scoring/types.h"
#include "server/util/steady_clock.h"

namespace prefscore {

struct PassRunnerOptions {
  // A pass of so many tokens did not fit into memory.
  std::function<void(const HostedModel&, std::int64_t num_tokens)> on_out_of_memory = [](auto&, auto) {};
  absl::Duration memory_of_limit = absl::Minutes(1);  // then larger passes are tried again
  std::function<absl::Time()> now = SteadyNow;
};

// [groups][completions]
using GroupScores = std::vector<std::vector<CompletionScore>>;

// Not thread-safe: the scheduler runs one batch at a time.
class PassRunner {
 public:
  explicit PassRunner(PassRunnerOptions options = {}) : options_(std::move(options)) {}

  // The scores of all completions of `groups`, at least one. RESOURCE_EXHAUSTED, with a reason (error_reason.h), where
  // memory does not do for a single completion; INTERNAL for whatever else fails. `was_split` is set where it took more
  // than one pass.
  absl::StatusOr<GroupScores> Run(const HostedModel& model, std::span<const PromptGroup* const> groups,
                                  bool& was_split);

 private:
  absl::StatusOr<GroupScores> RunHalves(const HostedModel& model, std::span<const PromptGroup* const> groups);

  const PassRunnerOptions options_;
  std::int64_t max_tokens_ = std::numeric_limits<std::int64_t>::max();  // of a pass, until limit_expiry_
  absl::Time limit_expiry_ = absl::InfiniteFuture();
};

}  // namespace prefscore
