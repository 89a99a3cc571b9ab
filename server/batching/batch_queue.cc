// SPDX-License-Identifier: Apache-2.0
#include "server/batching/batch_queue.h"

#include <algorithm>
#include <cmath>

namespace prefscore {
namespace {

// What a batch holds so far, against its budgets.
class Batch {
 public:
  Batch(const BatchLimits& limits, const CostModel& cost) : limits_(limits), cost_(cost) {}

  bool Fits(const Job& job) const {
    if (jobs_.empty()) return true;
    if (job.is_probe || jobs_.front()->is_probe) return false;
    return num_tokens_ + job.num_tokens <= limits_.max_tokens && num_bytes_ + job.num_batch_bytes <= limits_.max_bytes &&
           SecondsWith(job) <= limits_.max_seconds;
  }

  void Add(JobPtr job) {
    work_.Add(job->work);
    num_tokens_ += job->num_tokens;
    num_bytes_ += job->num_batch_bytes;
    jobs_.push_back(std::move(job));
  }

  std::int64_t num_tokens() const { return num_tokens_; }
  std::vector<JobPtr> Take() { return std::move(jobs_); }

 private:
  double SecondsWith(const Job& job) const {
    WorkTotals work = work_;
    work.Add(job.work);
    return cost_.Seconds(work.works());
  }

  const BatchLimits& limits_;
  const CostModel& cost_;
  std::vector<JobPtr> jobs_;
  WorkTotals work_;
  std::int64_t num_tokens_ = 0;
  std::int64_t num_bytes_ = 0;
};

}  // namespace

void BatchQueue::Push(JobPtr job) {
  Class& queue = Of(job->priority);
  job->sequence = next_sequence_++;
  // Bulk work that comes anew has earned nothing yet.
  if (job->priority == Priority::kBulk && queue.jobs.empty()) {
    bulk_credit_tokens_ = std::min(bulk_credit_tokens_, -static_cast<double>(job->num_tokens));
  }
  queue.num_tokens += job->num_tokens;
  queue.work.Add(job->work);
  if (job->deadline < absl::InfiniteFuture()) deadlines_.insert({job->deadline, {job->priority, job->sequence}});
  queue.jobs.emplace(job->sequence, std::move(job));
}

JobPtr BatchQueue::Remove(Priority priority, std::map<std::uint64_t, JobPtr>::iterator position) {
  Class& queue = Of(priority);
  JobPtr job = std::move(position->second);
  queue.jobs.erase(position);
  deadlines_.erase({job->deadline, {priority, job->sequence}});
  queue.num_tokens -= job->num_tokens;
  queue.work.Subtract(job->work);
  return job;
}

Priority BatchQueue::NextPriority() const {
  if (Of(Priority::kBulk).jobs.empty()) return Priority::kInteractive;
  if (Of(Priority::kInteractive).jobs.empty()) return Priority::kBulk;
  return bulk_credit_tokens_ >= 0 ? Priority::kBulk : Priority::kInteractive;
}

std::vector<JobPtr> BatchQueue::FormBatch() {
  if (empty()) return {};
  const Priority priority = NextPriority();
  const bool is_contended = NumJobs(Priority::kInteractive) > 0 && NumJobs(Priority::kBulk) > 0;
  Class& queue = Of(priority);
  Batch batch(limits_, cost_);
  int num_passed = 0;
  for (auto position = queue.jobs.begin(); position != queue.jobs.end();) {
    const auto current = position++;
    if (batch.Fits(*current->second)) {
      batch.Add(Remove(priority, current));
    } else if (++num_passed > limits_.look_ahead) {
      break;
    }
  }
  const auto num_tokens = static_cast<double>(batch.num_tokens());
  if (priority == Priority::kBulk) {
    bulk_credit_tokens_ = (is_contended ? bulk_credit_tokens_ : 0) - num_tokens;
  } else if (is_contended) {
    bulk_credit_tokens_ += num_tokens * limits_.bulk_share / (1 - limits_.bulk_share);
  }
  return batch.Take();
}

std::vector<JobPtr> BatchQueue::TakeCancelled(const Cancellation& cancellation) {
  std::vector<JobPtr> taken;
  for (const Priority priority : kPriorities) {
    auto& jobs = Of(priority).jobs;
    for (auto position = jobs.begin(); position != jobs.end();) {
      const auto current = position++;
      if (current->second->cancellation.get() == &cancellation) taken.push_back(Remove(priority, current));
    }
  }
  return taken;
}

std::vector<JobPtr> BatchQueue::TakeExpired(absl::Time now) {
  std::vector<JobPtr> taken;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto [priority, sequence] = deadlines_.begin()->second;
    taken.push_back(Remove(priority, Of(priority).jobs.find(sequence)));
  }
  return taken;
}

std::vector<JobPtr> BatchQueue::TakeAll() {
  std::vector<JobPtr> taken;
  for (const Priority priority : kPriorities) {
    auto& jobs = Of(priority).jobs;
    while (!jobs.empty()) taken.push_back(Remove(priority, jobs.begin()));
  }
  return taken;
}

absl::Time BatchQueue::NextDeadline() const {
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

// The jobs' own time, and that of a pass per model for as many batches as the budgets make of them.
double BatchQueue::SecondsOf(Priority priority) const {
  const Class& queue = Of(priority);
  if (queue.jobs.empty()) return 0;
  const double marginal = cost_.MarginalSeconds(queue.work.works());
  std::vector<ModelKey> models;
  for (const ModelWork& work : queue.jobs.begin()->second->work) models.push_back(work.model);
  const double num_batches =
      std::ceil(std::max(static_cast<double>(queue.num_tokens) / static_cast<double>(limits_.max_tokens),
                         marginal / limits_.max_seconds));
  const double most_batches = static_cast<double>(queue.jobs.size());
  return marginal + std::clamp(num_batches, 1.0, most_batches) * cost_.FixedSeconds(models);
}

double BatchQueue::SecondsAhead(Priority priority) const {
  const double interactive = SecondsOf(Priority::kInteractive);
  const double bulk = SecondsOf(Priority::kBulk);
  if (priority == Priority::kBulk) return interactive + bulk;
  // While both wait, bulk takes its share; no more than there is.
  return interactive + std::min(bulk, interactive * limits_.bulk_share / (1 - limits_.bulk_share));
}

}  // namespace prefscore
