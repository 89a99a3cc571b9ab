// SPDX-License-Identifier: Apache-2.0
// Who waits, and who goes next: the scheduler's policy without its threads. No clock of its own.
//
// Each class is served in order of arrival. A batch is of one class. It starts with that class' oldest job; younger ones
// follow while they fit the budgets, looking past at most `look_ahead` that do not. So a job is overtaken by at most one
// batch per job that was ahead of it. Interactive work goes first, and bulk work gets at least `bulk_share` of the tokens
// while both wait.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/batching/cost_model.h"
#include "server/batching/job.h"

namespace prefscore {

// Budgets of a batch. A job that exceeds one by itself is a batch of its own.
struct BatchLimits {
  std::int64_t max_tokens = 4096;
  std::int64_t max_bytes = std::numeric_limits<std::int64_t>::max();
  double max_seconds = std::numeric_limits<double>::infinity();  // predicted: how long the next arrival may have to wait
  int look_ahead = 64;
  double bulk_share = 0.1;  // in [0, 1)
};

// Not thread-safe.
class BatchQueue {
 public:
  // `cost` outlives the queue.
  BatchQueue(BatchLimits limits, const CostModel& cost) : limits_(limits), cost_(cost) {}

  void Push(JobPtr job);

  // The next batch; empty where nothing waits.
  std::vector<JobPtr> FormBatch();

  // Take jobs out, oldest first: those of a call, those whose deadline is not after `now`, all.
  std::vector<JobPtr> TakeCancelled(const Cancellation& cancellation);
  std::vector<JobPtr> TakeExpired(absl::Time now);
  std::vector<JobPtr> TakeAll();

  bool empty() const { return NumJobs(Priority::kInteractive) == 0 && NumJobs(Priority::kBulk) == 0; }
  std::int64_t NumJobs(Priority priority) const { return static_cast<std::int64_t>(Of(priority).jobs.size()); }
  std::int64_t NumTokens(Priority priority) const { return Of(priority).num_tokens; }
  // The earliest deadline of all jobs; InfiniteFuture where none has one.
  absl::Time NextDeadline() const;

  // Predicted seconds until all that waits now, and would go before a new job of this class, is computed. Does not count
  // the batch in flight.
  double SecondsAhead(Priority priority) const;

 private:
  struct Class {
    std::map<std::uint64_t, JobPtr> jobs;  // by sequence
    std::int64_t num_tokens = 0;
    WorkTotals work;
  };

  Class& Of(Priority priority) { return classes_[static_cast<std::size_t>(priority)]; }
  const Class& Of(Priority priority) const { return classes_[static_cast<std::size_t>(priority)]; }
  Priority NextPriority() const;
  JobPtr Remove(Priority priority, std::map<std::uint64_t, JobPtr>::iterator position);
  double SecondsOf(Priority priority) const;

  const BatchLimits limits_;
  const CostModel& cost_;
  std::array<Class, kPriorities.size()> classes_;
  std::set<std::pair<absl::Time, std::pair<Priority, std::uint64_t>>> deadlines_;
  std::uint64_t next_sequence_ = 0;
  double bulk_credit_tokens_ = 0;  // what bulk's share has earned, less what bulk was served; from 0 on it is bulk's turn
};

}  // namespace prefscore
