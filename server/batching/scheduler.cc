// SPDX-License-Identifier: Apache-2.0
#include "server/batching/scheduler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/util/retry_delay.h"
#include "server/util/shutting_down.h"

namespace prefscore {
namespace {

// A prediction older than this refuses nobody: otherwise one bad measurement could refuse every call of an idle server.
constexpr absl::Duration kMaxPredictionAge = absl::Seconds(30);

std::vector<ModelWork> WorkOf(const std::vector<JobPtr>& jobs) {
  std::vector<ModelWork> works;
  for (const JobPtr& job : jobs) works.insert(works.end(), job->work.begin(), job->work.end());
  return works;
}

QueueLoad LoadOf(const std::vector<JobPtr>& jobs) {
  QueueLoad load;
  for (const JobPtr& job : jobs) load += {job->num_tokens, job->num_queued_bytes};
  return load;
}

}  // namespace

Ticket::~Ticket() {
  if (scheduler_ != nullptr) scheduler_->Release(*this);
}

Scheduler::Scheduler(SchedulerOptions options, Runner runner, SchedulerObserver observer)
    : options_(std::move(options)),
      runner_(std::move(runner)),
      observer_(std::move(observer)),
      queue_(options_.batch, cost_),
      admission_(options_.admission) {
  owner_ = std::thread([this] { RunBatches(); });
  completer_ = std::thread([this] { RunCallbacks(); });
}

Scheduler::~Scheduler() {
  {
    absl::MutexLock lock(&mutex_);
    admitting_ = false;
    DropParked([](const Arrival&) { return true; }, ShuttingDown());
    stopping_ = true;
  }
  owner_.join();
  {
    absl::MutexLock lock(&mutex_);
    Drop(queue_.TakeAll(), ShuttingDown());
    completing_ = false;
  }
  completer_.join();
}

Ticket Scheduler::MakeTicket(const Arrival& arrival) {
  Ticket ticket;
  ticket.scheduler_ = this;
  ticket.entrant_ = arrival.entrant;
  ticket.load_ = arrival.load;
  return ticket;
}

std::optional<Refusal> Scheduler::CheckArrival(const Arrival& arrival, absl::Time now) const {
  if (!admitting_) return Refusal{RefusalReason::kShuttingDown};
  if (arrival.cancellation != nullptr && arrival.cancellation->is_cancelled()) {
    return Refusal{RefusalReason::kCancelled, "the call was cancelled", absl::ZeroDuration()};
  }
  return CheckDeadline(arrival.entrant.priority, arrival.deadline, {}, now);
}

void Scheduler::Admit(Arrival arrival, std::function<void(absl::StatusOr<Ticket>)> admitted) {
  const absl::Time now = options_.now();
  const Priority priority = arrival.entrant.priority;
  std::optional<Refusal> refusal;
  {
    absl::MutexLock lock(&mutex_);
    refusal = CheckArrival(arrival, now);
    if (!refusal.has_value()) {
      refusal = admission_.Take(arrival.entrant, arrival.load, PaceOf(priority, now), now);
      if (!refusal.has_value()) {
        ++num_tickets_;
      } else if (arrival.entrant.waits_for_room) {
        if (admission_.Wait(priority, arrival.load)) {
          parked_[static_cast<std::size_t>(priority)].push_back({std::move(arrival), std::move(admitted)});
          return;
        }
        absl::StrAppend(&refusal->message, "; and what waits for room holds max_queued_bytes, too");
      }
    }
  }
  if (refusal.has_value()) return admitted(Refuse(priority, *refusal));
  admitted(MakeTicket(arrival));
}

absl::Status Scheduler::Submit(Ticket ticket, std::vector<JobPtr> jobs) {
  if (jobs.empty()) return absl::OkStatus();
  const Priority priority = ticket.entrant_.priority;
  const absl::Time now = options_.now();
  const QueueLoad load = LoadOf(jobs);
  std::optional<Refusal> refusal;
  {
    absl::MutexLock lock(&mutex_);
    const auto& cancellation = jobs.front()->cancellation;
    if (cancellation != nullptr && cancellation->is_cancelled()) {
      return absl::CancelledError("the call was cancelled before it was queued");
    }
    if (stopping_) {
      refusal = Refusal{RefusalReason::kShuttingDown};
    } else {
      refusal = CheckDeadline(priority, jobs.front()->deadline, jobs, now);
    }
    if (!refusal) refusal = admission_.Change(ticket.entrant_, ticket.load_, load, PaceOf(priority, now), now);
    if (!refusal) {
      for (JobPtr& job : jobs) Enqueue(std::move(job), now);
      ticket.load_ = {};  // the jobs hold it now
      TellQueue(priority);
      return absl::OkStatus();
    }
  }
  return Refuse(priority, *refusal);
}

void Scheduler::AdmitParked(absl::Time now) {
  for (auto& parked : parked_) {
    while (!parked.empty()) {
      const Arrival& arrival = parked.front().arrival;
      const auto refusal = CheckArrival(arrival, now);
      if (!refusal.has_value()) {
        if (!admission_.TakeWaiting(arrival.entrant.priority, arrival.load)) break;
        ++num_tickets_;
      }
      admission_.StopWaiting(arrival.entrant.priority, arrival.load);
      callbacks_.push_back([this, refusal, next = std::move(parked.front())] {
        if (refusal.has_value()) return next.admitted(Refuse(next.arrival.entrant.priority, *refusal));
        next.admitted(MakeTicket(next.arrival));
      });
      parked.pop_front();
    }
  }
}

template <typename Predicate>
void Scheduler::DropParked(Predicate is_over, const absl::Status& status) {
  for (auto& parked : parked_) {
    std::deque<Parked> kept;
    for (Parked& each : parked) {
      if (!is_over(each.arrival)) {
        kept.push_back(std::move(each));
        continue;
      }
      admission_.StopWaiting(each.arrival.entrant.priority, each.arrival.load);
      callbacks_.push_back([admitted = std::move(each.admitted), status] { admitted(status); });
    }
    parked.swap(kept);
  }
}

absl::Status Scheduler::SubmitProbe(JobPtr job) {
  const absl::Time now = options_.now();
  absl::MutexLock lock(&mutex_);
  if (!admitting_) return ShuttingDown();
  job->is_probe = true;
  const Priority priority = job->priority;
  Enqueue(std::move(job), now);
  TellQueue(priority);
  return absl::OkStatus();
}

void Scheduler::Enqueue(JobPtr job, absl::Time now) {
  job->arrival = now;
  queue_.Push(std::move(job));
}

void Scheduler::Release(Ticket& ticket) {
  absl::MutexLock lock(&mutex_);
  admission_.Release(ticket.entrant_.priority, ticket.load_);
  --num_tickets_;
  AdmitParked(options_.now());
}

void Scheduler::Cancel(Cancellation& cancellation) {
  cancellation.is_cancelled_.store(true);
  absl::MutexLock lock(&mutex_);
  const absl::Status status = absl::CancelledError("the call was cancelled while queued");
  DropParked([&](const Arrival& arrival) { return arrival.cancellation.get() == &cancellation; }, status);
  Drop(queue_.TakeCancelled(cancellation), status);
}

bool Scheduler::HasRoom(Priority priority) const {
  absl::MutexLock lock(&mutex_);
  return admission_.HasRoom(priority);
}

QueueLoad Scheduler::held(Priority priority) const {
  absl::MutexLock lock(&mutex_);
  return admission_.held(priority);
}

CostCoefficients Scheduler::SetProbes(ModelKey model, std::vector<CostSample> probes) {
  absl::MutexLock lock(&mutex_);
  cost_.SetProbes(model, std::move(probes));
  return cost_.CoefficientsOf(model);
}

bool Scheduler::Drain(absl::Duration grace) {
  absl::MutexLock lock(&mutex_);
  admitting_ = false;
  DropParked([](const Arrival&) { return true; }, ShuttingDown());
  return AwaitSteadily(mutex_, absl::Condition(this, &Scheduler::IsDone), grace);
}

std::int64_t Scheduler::Abandon() {
  absl::MutexLock lock(&mutex_);
  admitting_ = false;
  stopping_ = true;
  DropParked([](const Arrival&) { return true; }, ShuttingDown());
  const std::vector<JobPtr> jobs = queue_.TakeAll();
  Drop(jobs, ShuttingDown());
  const auto is_of_a_call = [](const JobPtr& job) { return !job->is_probe; };
  return std::count_if(jobs.begin(), jobs.end(), is_of_a_call) + num_tickets_;
}

std::optional<BatchInFlight> Scheduler::AwaitBatchEnd(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto has_ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return num_in_flight_ == 0; };
  if (AwaitSteadily(mutex_, absl::Condition(&has_ended), timeout)) return std::nullopt;
  return BatchInFlight{.num_jobs = num_in_flight_,
                       .num_tokens = batch_tokens_,
                       .models = batch_models_,
                       .running = options_.now() - batch_start_,
                       .predicted_seconds = batch_predicted_seconds_};
}

bool Scheduler::IsDone() const {
  return queue_.empty() && num_in_flight_ == 0 && num_tickets_ == 0 && callbacks_.empty() && num_calling_back_ == 0;
}

absl::Status Scheduler::Refuse(Priority priority, const Refusal& refusal) {
  observer_.on_refused(priority, refusal.reason);
  switch (refusal.reason) {
    case RefusalReason::kDeadline: return absl::DeadlineExceededError(refusal.message);
    case RefusalReason::kCancelled: return absl::CancelledError(refusal.message);
    case RefusalReason::kShuttingDown: return ShuttingDown();
    case RefusalReason::kQueuedTokens:
    case RefusalReason::kQueuedBytes: break;
  }
  return WithRetryDelay(absl::ResourceExhaustedError(refusal.message), refusal.retry_delay);
}

// Of a call with these jobs, or, where they are not known yet, of any.
std::optional<Refusal> Scheduler::CheckDeadline(Priority priority, absl::Time deadline, const std::vector<JobPtr>& jobs,
                                                absl::Time now) const {
  if (deadline == absl::InfiniteFuture()) return std::nullopt;
  const double allowed = absl::ToDoubleSeconds(deadline - now);
  if (allowed <= 0) {
    return Refusal{RefusalReason::kDeadline, "the deadline has passed", absl::ZeroDuration()};
  }
  if (now - last_measured_ > kMaxPredictionAge) return std::nullopt;
  const double in_flight = SecondsLeftInFlight(now);
  const double ahead = queue_.SecondsAhead(priority);
  const double own = jobs.empty() ? 0 : cost_.Seconds(WorkOf(jobs));
  if (in_flight + ahead + own <= allowed) return std::nullopt;
  return Refusal{RefusalReason::kDeadline,
                 absl::StrCat("the deadline cannot be met: predicted are ", in_flight + ahead + own,
                              " s (batch in flight ", in_flight, ", queue ", ahead, ", the call itself ", own,
                              "), allowed are ", allowed, " s"),
                 absl::ZeroDuration()};
}

double Scheduler::SecondsLeftInFlight(absl::Time now) const {
  if (num_in_flight_ == 0) return 0;
  return std::max(batch_predicted_seconds_ - absl::ToDoubleSeconds(now - batch_start_), 0.0);
}

QueuePace Scheduler::PaceOf(Priority priority, absl::Time now) const {
  const std::int64_t num_tokens = queue_.NumTokens(priority);
  const double seconds = queue_.SecondsAhead(priority);
  return {.seconds_per_token = num_tokens > 0 ? seconds / static_cast<double>(num_tokens) : seconds_per_token_,
          .seconds_to_next_batch = SecondsLeftInFlight(now)};
}

void Scheduler::Drop(const std::vector<JobPtr>& jobs, const absl::Status& status) {
  if (jobs.empty()) return;
  for (const JobPtr& job : jobs) {
    if (!job->is_probe) admission_.Release(job->priority, {job->num_tokens, 0});
    Complete(job, status);
  }
  for (const Priority priority : kPriorities) TellQueue(priority);
  AdmitParked(options_.now());
}

void Scheduler::Complete(JobPtr job, absl::Status status) {
  if (!job->is_probe) admission_.Release(job->priority, {0, job->num_queued_bytes});
  callbacks_.push_back([job = std::move(job), status = std::move(status)] { job->done(status); });
}

void Scheduler::TellQueue(Priority priority) {
  observer_.on_queue_changed(priority, queue_.NumJobs(priority), queue_.NumTokens(priority));
}

void Scheduler::RunBatches() {
  for (;;) {
    std::vector<JobPtr> batch;
    BatchReport report;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](Scheduler* scheduler) { return scheduler->stopping_ || !scheduler->queue_.empty(); }, this));
      if (stopping_) return;
      const absl::Time now = options_.now();
      Drop(queue_.TakeExpired(now), absl::DeadlineExceededError("the deadline passed while queued"));
      batch = queue_.FormBatch();
      if (batch.empty()) continue;
      report.priority = batch.front()->priority;
      for (const JobPtr& job : batch) {
        job->queue_delay = now - job->arrival;
        ++report.num_jobs;
        report.num_tokens += job->num_tokens;
        report.num_bytes += job->num_batch_bytes;
        if (!job->is_probe) admission_.Release(job->priority, {job->num_tokens, 0});
      }
      const std::vector<ModelWork> works = WorkOf(batch);
      report.predicted_seconds = batch_predicted_seconds_ = cost_.Seconds(works);
      WorkTotals by_model;
      by_model.Add(works);
      batch_models_.clear();
      for (const ModelWork& work : by_model.works()) batch_models_.push_back(work.model);
      batch_tokens_ = report.num_tokens;
      batch_start_ = now;
      num_in_flight_ = report.num_jobs;
      TellQueue(report.priority);
      AdmitParked(now);
    }
    const absl::Time start = options_.now();
    const std::vector<PassTime> passes = runner_(batch);
    const absl::Duration duration = options_.now() - start;
    report.measured_seconds = absl::ToDoubleSeconds(duration);
    const bool is_probe = batch.front()->is_probe;
    if (!is_probe) {
      observer_.on_batch(report);
      for (const JobPtr& job : batch) observer_.on_queue_delay(job->priority, job->queue_delay);
    }

    absl::MutexLock lock(&mutex_);
    if (duration > absl::ZeroDuration() && !is_probe && !passes.empty()) {  // a batch that failed tells no pace
      for (const PassTime& pass : passes) cost_.Observe(pass);
      seconds_per_token_ = report.measured_seconds / static_cast<double>(report.num_tokens);
      last_measured_ = start + duration;
    }
    for (JobPtr& job : batch) {
      job->batch_duration = duration;
      absl::Status status = job->status;
      Complete(std::move(job), std::move(status));
    }
    num_in_flight_ = 0;
    AdmitParked(options_.now());
  }
}

void Scheduler::RunCallbacks() {
  const auto has_work = +[](Scheduler* scheduler) {
    return !scheduler->callbacks_.empty() || !scheduler->completing_ ||
           scheduler->queue_.NextDeadline() < scheduler->awaited_deadline_;
  };
  for (;;) {
    std::deque<std::function<void()>> callbacks;
    {
      absl::MutexLock lock(&mutex_);
      awaited_deadline_ = queue_.NextDeadline();
      mutex_.AwaitWithTimeout(absl::Condition(has_work, this), awaited_deadline_ - options_.now());
      Drop(queue_.TakeExpired(options_.now()), absl::DeadlineExceededError("the deadline passed while queued"));
      if (callbacks_.empty() && !completing_) return;
      callbacks.swap(callbacks_);
      num_calling_back_ = static_cast<std::int64_t>(callbacks.size());
    }
    for (; !callbacks.empty(); callbacks.pop_front()) callbacks.front()();
    absl::MutexLock lock(&mutex_);
    num_calling_back_ = 0;
  }
}

}  // namespace prefscore
