// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/call_report.h"

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "server/scoring/group_job.h"

namespace prefscore {

void CallClock::OnAdmitted() { admitted_ = prepared_ = cache_read_ = Clock::now(); }

void CallClock::OnPrepared() { prepared_ = cache_read_ = Clock::now(); }

void CallClock::OnCacheRead(std::int64_t num_cached_tokens) {
  cache_read_ = Clock::now();
  num_cached_tokens_ = num_cached_tokens;
}

CallReport CallClock::Report(std::span<const std::shared_ptr<GroupJob>> jobs) const {
  CallReport report{.tokenize = absl::FromChrono(prepared_ - admitted_),
                    .cache_lookup = absl::FromChrono(cache_read_ - prepared_),
                    .queue = absl::FromChrono(admitted_ - arrived_),
                    .forwards = {},
                    .num_tokens = 0,
                    .num_cached_tokens = num_cached_tokens_};
  std::optional<Clock::time_point> first_start;
  absl::flat_hash_set<const ForwardPass*> seen;
  for (const auto& job : jobs) {
    if (job == nullptr) continue;
    for (const GroupForward& forward : job->forwards) {
      report.num_tokens += forward.group->num_tokens();
      if (forward.pass == nullptr || !seen.insert(forward.pass.get()).second) continue;
      first_start = std::min(first_start.value_or(forward.pass->start), forward.pass->start);
      auto time = std::find_if(report.forwards.begin(), report.forwards.end(),
                               [&](const ModelTime& each) { return each.model == forward.model; });
      if (time == report.forwards.end()) time = report.forwards.insert(time, {.model = forward.model, .duration = {}});
      time->duration += absl::FromChrono(forward.pass->duration);
    }
  }
  if (first_start.has_value()) report.queue += absl::FromChrono(*first_start - cache_read_);
  return report;
}

}  // namespace prefscore
