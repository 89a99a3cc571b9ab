// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/health_probe.h"

#include <atomic>
#include <memory>

#include "server/scoring/group_job.h"
#include "server/scoring/job_cost.h"

namespace prefscore {
namespace {

std::shared_ptr<GroupJob> SmallestJob(const std::vector<HostedModel>& models) {
  auto job = std::make_shared<GroupJob>();
  const auto group = std::make_shared<const PromptGroup>(PromptGroup{.prompt = {0}, .completions = {{0}}});
  for (const HostedModel& model : models) {
    GroupForward& forward = job->forwards.emplace_back();
    forward.model = &model;
    forward.group = group;
  }
  SetCost(*job);
  job->priority = Priority::kBulk;
  return job;
}

}  // namespace

HealthProbe::HealthProbe(Scheduler& scheduler, const DeviceHealth& health, const std::vector<HostedModel>& models,
                         absl::Duration interval)
    : scheduler_(scheduler), health_(health), models_(models), interval_(interval), thread_([this] { Loop(); }) {}

HealthProbe::~HealthProbe() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void HealthProbe::Loop() {
  const auto is_under_way = std::make_shared<std::atomic<bool>>(false);  // the last probe's callback may outlive this
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stopping_), interval_)) {
    if (!health_.is_in_doubt() || is_under_way->exchange(true)) continue;
    std::shared_ptr<GroupJob> job = SmallestJob(models_);
    job->done = [is_under_way](const absl::Status&) { is_under_way->store(false); };
    if (!scheduler_.SubmitProbe(std::move(job)).ok()) return;  // the server stops
  }
}

}  // namespace prefscore
