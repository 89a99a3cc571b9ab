// SPDX-License-Identifier: Apache-2.0
#include "server/batching/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

constexpr double kRateSmoothing = 0.2;  // weight of the newest batch in tokens_per_second_

std::int64_t SumTokens(const std::vector<JobPtr>& jobs) {
  std::int64_t num_tokens = 0;
  for (const JobPtr& job : jobs) num_tokens += job->num_tokens;
  return num_tokens;
}

}  // namespace

Scheduler::Scheduler(SchedulerOptions options, Runner runner, SchedulerObserver observer)
    : options_(std::move(options)), runner_(std::move(runner)), observer_(std::move(observer)) {
  owner_ = std::thread([this] { Loop(); });
}

Scheduler::~Scheduler() {
  {
    absl::MutexLock lock(&mutex_);
    admitting_ = false;
    stopping_ = true;
  }
  owner_.join();
  for (const JobPtr& job : queue_) job->done(absl::UnavailableError("the server is shutting down"));
}

absl::Status Scheduler::Submit(std::vector<JobPtr> jobs, Admission admission) {
  const std::int64_t num_tokens = SumTokens(jobs);
  const absl::Time now = options_.now();
  absl::MutexLock lock(&mutex_);
  if (!admitting_) return absl::UnavailableError("the server is shutting down");
  if (admission == Admission::kRefuseWhenFull && queued_tokens_ > 0 &&
      queued_tokens_ + num_tokens > options_.max_queued_tokens) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue holds ", queued_tokens_, " tokens and the call brings ",
                                                     num_tokens, "; the limit is max_queued_tokens = ",
                                                     options_.max_queued_tokens));
  }
  for (JobPtr& job : jobs) {
    job->arrival = now;
    queue_.push_back(std::move(job));
  }
  queued_tokens_ += num_tokens;
  TellQueue();
  return absl::OkStatus();
}

void Scheduler::TellQueue() {
  observer_.on_queue_changed(static_cast<std::int64_t>(queue_.size()), queued_tokens_);
}

bool Scheduler::IsFull() const {
  absl::MutexLock lock(&mutex_);
  return queued_tokens_ >= options_.max_queued_tokens;
}

absl::Duration Scheduler::RetryDelay() const {
  absl::MutexLock lock(&mutex_);
  const double excess_tokens = static_cast<double>(queued_tokens_) - static_cast<double>(options_.max_queued_tokens) / 2;
  if (tokens_per_second_ <= 0) return absl::Seconds(1);
  return absl::Seconds(std::clamp(excess_tokens / tokens_per_second_, 0.1, 60.0));
}

bool Scheduler::Drain(absl::Duration grace) {
  absl::MutexLock lock(&mutex_);
  admitting_ = false;
  return mutex_.AwaitWithTimeout(
      absl::Condition(
          +[](Scheduler* scheduler) { return scheduler->queue_.empty() && scheduler->in_flight_jobs_ == 0; }, this),
      grace);
}

// Takes jobs from the front until the next one would exceed the budget. What is not worth computing any more goes to
// `dropped` with the reason.
std::vector<JobPtr> Scheduler::FormBatch(std::vector<std::pair<JobPtr, absl::Status>>& dropped) {
  std::vector<JobPtr> batch;
  std::int64_t batch_tokens = 0;
  const absl::Time now = options_.now();
  while (!queue_.empty()) {
    JobPtr& job = queue_.front();
    const bool is_cancelled = job->is_cancelled();
    const bool is_expired = now >= job->deadline;
    if (!is_cancelled && !is_expired && !batch.empty() && batch_tokens + job->num_tokens > options_.max_batch_tokens) {
      break;
    }
    queued_tokens_ -= job->num_tokens;
    job->queue_delay = now - job->arrival;
    if (is_cancelled) {
      dropped.emplace_back(std::move(job), absl::CancelledError("the call was cancelled while queued"));
    } else if (is_expired) {
      dropped.emplace_back(std::move(job), absl::DeadlineExceededError("the deadline passed while queued"));
    } else {
      batch_tokens += job->num_tokens;
      batch.push_back(std::move(job));
    }
    queue_.pop_front();
  }
  return batch;
}

void Scheduler::Loop() {
  for (;;) {
    std::vector<JobPtr> batch;
    std::vector<std::pair<JobPtr, absl::Status>> dropped;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](Scheduler* scheduler) { return scheduler->stopping_ || !scheduler->queue_.empty(); }, this));
      if (stopping_) return;
      batch = FormBatch(dropped);
      in_flight_jobs_ = static_cast<std::int64_t>(batch.size() + dropped.size());
      TellQueue();
    }
    for (auto& [job, status] : dropped) job->done(status);

    double seconds = 0;
    if (!batch.empty()) {
      for (const JobPtr& job : batch) observer_.on_queue_delay(job->queue_delay);
      observer_.on_batch(static_cast<std::int64_t>(batch.size()), SumTokens(batch));
      const absl::Time start = options_.now();
      runner_(batch);
      seconds = absl::ToDoubleSeconds(options_.now() - start);
      for (const JobPtr& job : batch) job->done(job->status);
    }

    absl::MutexLock lock(&mutex_);
    if (seconds > 0) {
      const double newest_rate = static_cast<double>(SumTokens(batch)) / seconds;
      tokens_per_second_ = tokens_per_second_ == 0
                               ? newest_rate
                               : (1 - kRateSmoothing) * tokens_per_second_ + kRateSmoothing * newest_rate;
    }
    in_flight_jobs_ = 0;
  }
}

}  // namespace prefscore
