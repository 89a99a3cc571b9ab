// SPDX-License-Identifier: Apache-2.0
// The one scheduler of a device, over all its models: admits calls, forms batches of what waits (batch_queue.h, which has
// the policy) and runs them. Batches form greedily when the device is free; there is no timer.
//
// Two threads. The owner thread forms and runs batches, and does nothing else. The completion thread calls callbacks, in
// the order of what they tell, and drops jobs whose deadline passes; so a slow callback never delays the next batch.
//
// Invariant: an admitted job is in exactly one of queue, batch in flight, done; its `done` is called exactly once.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/admission.h"
#include "server/batching/batch_queue.h"
#include "server/batching/cost_model.h"
#include "server/batching/job.h"
#include "server/util/steady_clock.h"

namespace prefscore {

struct SchedulerOptions {
  BatchLimits batch = {};
  AdmissionLimits admission = {};
  std::function<absl::Time()> now = SteadyNow;
};

// A batch that was computed.
struct BatchReport {
  Priority priority;
  std::int64_t num_jobs = 0;
  std::int64_t num_tokens = 0;
  std::int64_t num_bytes = 0;
  double predicted_seconds = 0;  // 0: nothing was known yet
  double measured_seconds = 0;
};

// A batch that is being computed.
struct BatchInFlight {
  std::int64_t num_jobs = 0;
  std::int64_t num_tokens = 0;
  std::vector<ModelKey> models;  // each once
  absl::Duration running;        // until now
  double predicted_seconds = 0;  // 0: nothing was known yet
};

// What happened, for metrics; must return at once. on_queue_changed is called under the scheduler's lock, so that the
// last call tells the last state; the others without it.
struct SchedulerObserver {
  std::function<void(Priority, std::int64_t queued_jobs, std::int64_t queued_tokens)> on_queue_changed =
      [](auto, auto, auto) {};
  std::function<void(Priority, absl::Duration)> on_queue_delay = [](auto, auto) {};
  std::function<void(const BatchReport&)> on_batch = [](auto&) {};
  std::function<void(Priority, RefusalReason)> on_refused = [](auto, auto) {};
};

// A call at its arrival, before it is known exactly.
struct Arrival {
  Entrant entrant = {};
  QueueLoad load = {};  // an estimate
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<const Cancellation> cancellation = nullptr;  // null: cannot be cancelled
};

class Scheduler;

// An admitted call's place in the queue, held until its jobs are submitted. Gives it back when destroyed.
class Ticket {
 public:
  Ticket() = default;
  Ticket(Ticket&& other) noexcept { *this = std::move(other); }
  Ticket& operator=(Ticket&& other) noexcept {
    std::swap(scheduler_, other.scheduler_);
    std::swap(entrant_, other.entrant_);
    std::swap(load_, other.load_);
    return *this;
  }
  ~Ticket();

 private:
  friend class Scheduler;
  Scheduler* scheduler_ = nullptr;
  Entrant entrant_;
  QueueLoad load_;
};

// Thread-safe.
class Scheduler {
 public:
  // Computes a batch, sets each job's status and returns the passes that succeeded. Called on the owner thread only.
  using Runner = std::function<std::vector<PassTime>(const std::vector<JobPtr>&)>;

  Scheduler(SchedulerOptions options, Runner runner, SchedulerObserver observer = {});
  // Stops admitting, fails what is queued with UNAVAILABLE, waits for the batch in flight. Drain first to finish all.
  // REQUIRES: no ticket is left.
  ~Scheduler();

  // Lets a call in, or not: RESOURCE_EXHAUSTED (carrying a delay, retry_delay.h), DEADLINE_EXCEEDED (it could not be met),
  // CANCELLED or UNAVAILABLE (stopping). `admitted` is called once: now, or, for who waits for room, later on the
  // completion thread.
  void Admit(Arrival arrival, std::function<void(absl::StatusOr<Ticket>)> admitted);

  // Queues all jobs of an admitted call, or none, now that they are known. All have the ticket's priority and one
  // deadline and cancellation. OK: every `done` will be called. Otherwise none will: as Admit, or CANCELLED.
  absl::Status Submit(Ticket ticket, std::vector<JobPtr> jobs);
  // Queues a job whatever waits, as a probe: it counts against no limit. UNAVAILABLE while stopping.
  absl::Status SubmitProbe(JobPtr job);

  // The call's jobs leave the queue now, with CANCELLED, and those that are submitted later are refused. What is in
  // flight is computed.
  void Cancel(Cancellation& cancellation);

  // Whether a stream of this class should bring more now; otherwise once something of its own is done.
  bool HasRoom(Priority priority) const;

  // What admitted calls of this class hold.
  QueueLoad held(Priority priority) const;

  // How long passes of a model took that were made to learn what it costs. Returns what follows.
  CostCoefficients SetProbes(ModelKey model, std::vector<CostSample> probes);

  // Stops admitting (UNAVAILABLE) and waits until everything admitted is done or `grace` has passed.
  // Returns whether everything was done.
  bool Drain(absl::Duration grace);

  // Stops admitting and ends what is admitted now, with UNAVAILABLE, but for the batch in flight. Returns how many jobs, and
  // calls whose jobs were not submitted yet, these are.
  std::int64_t Abandon();

  // Waits until no batch is in flight, at most `timeout`. Returns the one that still is. After Drain or Abandon.
  std::optional<BatchInFlight> AwaitBatchEnd(absl::Duration timeout);

 private:
  friend class Ticket;

  // An arrival that waits for room.
  struct Parked {
    Arrival arrival;
    std::function<void(absl::StatusOr<Ticket>)> admitted;
  };

  void RunBatches();
  void RunCallbacks();
  void Release(Ticket& ticket);

  Ticket MakeTicket(const Arrival& arrival);
  absl::Status Refuse(Priority priority, const Refusal& refusal);
  // Why this arrival is not even considered, if so.
  std::optional<Refusal> CheckArrival(const Arrival& arrival, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Room may have appeared.
  void AdmitParked(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Those for which `is_over` leave with `status`.
  template <typename Predicate>
  void DropParked(Predicate is_over, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<Refusal> CheckDeadline(Priority priority, absl::Time deadline, const std::vector<JobPtr>& jobs,
                                       absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  double SecondsLeftInFlight(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  QueuePace PaceOf(Priority priority, absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(JobPtr job, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The jobs have left the queue uncomputed.
  void Drop(const std::vector<JobPtr>& jobs, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Complete(JobPtr job, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellQueue(Priority priority) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsDone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SchedulerOptions options_;
  const Runner runner_;
  const SchedulerObserver observer_;

  mutable absl::Mutex mutex_;
  CostModel cost_ ABSL_GUARDED_BY(mutex_);
  BatchQueue queue_ ABSL_GUARDED_BY(mutex_);
  Admission admission_ ABSL_GUARDED_BY(mutex_);
  std::int64_t num_tickets_ ABSL_GUARDED_BY(mutex_) = 0;
  std::int64_t num_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;  // jobs
  std::vector<ModelKey> batch_models_ ABSL_GUARDED_BY(mutex_);  // each once
  std::int64_t batch_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time batch_start_ ABSL_GUARDED_BY(mutex_);
  double batch_predicted_seconds_ ABSL_GUARDED_BY(mutex_) = 0;
  double seconds_per_token_ ABSL_GUARDED_BY(mutex_) = 0;  // of the last batch
  absl::Time last_measured_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::array<std::deque<Parked>, kPriorities.size()> parked_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::function<void()>> callbacks_ ABSL_GUARDED_BY(mutex_);
  std::int64_t num_calling_back_ ABSL_GUARDED_BY(mutex_) = 0;  // taken by the completion thread, not yet returned
  absl::Time awaited_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // that the completion thread sleeps to
  bool admitting_ ABSL_GUARDED_BY(mutex_) = true;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;     // the owner thread ends
  bool completing_ ABSL_GUARDED_BY(mutex_) = true;    // false: the completion thread ends once it has nothing left
  std::thread owner_;
  std::thread completer_;
};

}  // namespace prefscore
