// SPDX-License-Identifier: Apache-2.0
// The one scheduler of a device: jobs of many calls wait in arrival order, one owner thread packs what is waiting into
// batches under a token budget and runs them. Batches form greedily when the device is free; there is no timer.
//
// Invariant: an admitted job is in exactly one of queue, batch in flight, done; its `done` is called exactly once, on the
// owner thread. Jobs whose call is cancelled or past its deadline are dropped when a batch is formed, never computed.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace prefscore {

// What the scheduler must know of a piece of work; what the work is, only the runner knows.
struct Job {
  virtual ~Job() = default;

  std::int64_t num_tokens = 0;                    // cost: tokens to compute, > 0
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> is_cancelled = [] { return false; };
  // OK: the runner has stored the job's result. DEADLINE_EXCEEDED, CANCELLED: dropped while queued. UNAVAILABLE: the
  // scheduler stopped. Any other: what the runner found.
  std::function<void(absl::Status)> done;

  absl::Status status;         // set by the runner: this job's own, whatever became of its batch mates
  absl::Time arrival;          // set by Submit
  absl::Duration queue_delay;  // set when the job leaves the queue
};
using JobPtr = std::shared_ptr<Job>;

struct SchedulerOptions {
  std::int64_t max_batch_tokens = 4096;       // a larger job is a batch of its own
  std::int64_t max_queued_tokens = 1 << 20;   // admission limit
  std::function<absl::Time()> now = absl::Now;
};

// What happened, for metrics. Called on the owner thread; on_queue_changed also on submitting threads and, so that the
// last call tells the last state, under the scheduler's lock: it must return at once.
struct SchedulerObserver {
  std::function<void(std::int64_t queued_jobs, std::int64_t queued_tokens)> on_queue_changed = [](auto, auto) {};
  std::function<void(absl::Duration)> on_queue_delay = [](auto) {};
  std::function<void(std::int64_t batch_jobs, std::int64_t batch_tokens)> on_batch = [](auto, auto) {};
};

// Thread-safe.
class Scheduler {
 public:
  // Computes a batch and sets each job's status. Called on the owner thread only.
  using Runner = std::function<void(const std::vector<JobPtr>&)>;

  enum class Admission {
    kRefuseWhenFull,  // RESOURCE_EXHAUSTED where the queue holds max_queued_tokens; a queue that is empty takes any job
    kAlways,          // for callers with a bounded window of their own (streams)
  };

  Scheduler(SchedulerOptions options, Runner runner, SchedulerObserver observer = {});
  // Stops admitting, fails what is queued with UNAVAILABLE, waits for the batch in flight. Drain first to finish all.
  ~Scheduler();

  // Admits all jobs or none. OK: every `done` will be called. Otherwise none will: RESOURCE_EXHAUSTED (retry after
  // RetryDelay) or UNAVAILABLE (stopping). Returns at once.
  absl::Status Submit(std::vector<JobPtr> jobs, Admission admission);

  // Whether a kRefuseWhenFull submission would be refused now.
  bool IsFull() const;
  // How long the queue takes to fall to half its limit, at the rate measured so far; between 0.1 s and 60 s.
  absl::Duration RetryDelay() const;

  // Stops admitting (UNAVAILABLE) and waits until everything admitted is done or `grace` has passed.
  // Returns whether everything was done.
  bool Drain(absl::Duration grace);

 private:
  void Loop();
  void TellQueue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<JobPtr> FormBatch(std::vector<std::pair<JobPtr, absl::Status>>& dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SchedulerOptions options_;
  const Runner runner_;
  const SchedulerObserver observer_;

  mutable absl::Mutex mutex_;
  std::deque<JobPtr> queue_ ABSL_GUARDED_BY(mutex_);
  std::int64_t queued_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::int64_t in_flight_jobs_ ABSL_GUARDED_BY(mutex_) = 0;
  double tokens_per_second_ ABSL_GUARDED_BY(mutex_) = 0;  // of recent batches, smoothed
  bool admitting_ ABSL_GUARDED_BY(mutex_) = true;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread owner_;
};

}  // namespace prefscore
