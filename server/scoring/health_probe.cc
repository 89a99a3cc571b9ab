// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/health_probe.h"

#include <memory>
#include <utility>

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
    : scheduler_(scheduler), health_(health), models_(models), task_(interval, [this] { ProbeIfInDoubt(); }) {}

void HealthProbe::ProbeIfInDoubt() {
  if (!health_.is_in_doubt() || is_under_way_->exchange(true)) return;
  std::shared_ptr<GroupJob> job = SmallestJob(models_);
  job->done = [is_under_way = is_under_way_](const absl::Status&) { is_under_way->store(false); };
  // Refused where the server stops: then nobody asks for its health.
  scheduler_.SubmitProbe(std::move(job)).IgnoreError();
}

}  // namespace prefscore
