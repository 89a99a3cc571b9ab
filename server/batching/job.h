// SPDX-License-Identifier: Apache-2.0
// A piece of work as the scheduler sees it: its cost, its class, its end. What the work is, only the runner knows.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/batching/cost_model.h"

namespace prefscore {

enum class Priority {
  kInteractive,  // somebody waits: goes before bulk
  kBulk,         // throughput: fills the time that interactive work leaves, and has a share of it in any case
};
inline constexpr std::array kPriorities = {Priority::kInteractive, Priority::kBulk};
inline constexpr std::array kPriorityNames = {"interactive", "bulk"};

// Whether a call was cancelled. Its jobs share it; Scheduler::Cancel sets it.
class Cancellation {
 public:
  bool is_cancelled() const { return is_cancelled_.load(); }

 private:
  friend class Scheduler;
  std::atomic<bool> is_cancelled_{false};
};

struct Job {
  virtual ~Job() = default;

  Priority priority = Priority::kInteractive;
  std::int64_t num_tokens = 0;        // to compute, > 0
  std::int64_t num_batch_bytes = 0;   // memory while it is computed: activations, logits
  std::int64_t num_queued_bytes = 0;  // memory while it waits: what was sent, ids, room for the result
  std::vector<ModelWork> work;        // for predictions; empty: none are made
  bool is_probe = false;              // a measurement: a batch of its own, and no part of what is reported
  absl::Time deadline = absl::InfiniteFuture();  // on the scheduler's clock, as are the times below
  std::shared_ptr<const Cancellation> cancellation;  // null: cannot be cancelled
  // OK: the runner has stored the job's result. DEADLINE_EXCEEDED, CANCELLED: it left the queue uncomputed.
  // UNAVAILABLE: the scheduler stopped. Any other: what the runner found.
  std::function<void(absl::Status)> done;

  absl::Status status;           // set by the runner: this job's own, whatever became of its batch mates
  absl::Time arrival;            // set when it is queued
  absl::Duration queue_delay;    // set when it leaves the queue
  absl::Duration batch_duration;  // set when its batch is done: of the whole batch

  std::uint64_t sequence = 0;  // the queue's own: position in the order of arrival
};
using JobPtr = std::shared_ptr<Job>;

}  // namespace prefscore
