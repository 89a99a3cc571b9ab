// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/group_job.h"

#include <map>
#include <utility>

#include "absl/time/clock.h"
#include "server/scoring/completion_scores.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// All forwards of a batch under one set of weights, and the distinct groups among them.
struct ModelBatch {
  const HostedModel* model = nullptr;
  std::vector<const PromptGroup*> groups;
  std::map<const PromptGroup*, std::size_t> group_index;
  std::vector<std::pair<GroupForward*, std::size_t>> users;  // forward, index of its group
};

ModelBatch& BatchOf(const HostedModel* model, std::vector<ModelBatch>& batches) {
  for (ModelBatch& batch : batches) {
    if (batch.model->lm == model->lm) return batch;
  }
  batches.emplace_back().model = model;
  return batches.back();
}

std::vector<ModelBatch> SplitByModel(const std::vector<GroupJob*>& jobs) {
  std::vector<ModelBatch> batches;
  for (GroupJob* job : jobs) {
    for (GroupForward& forward : job->forwards) {
      ModelBatch& batch = BatchOf(forward.model, batches);
      const auto [entry, is_new] = batch.group_index.try_emplace(forward.group.get(), batch.groups.size());
      if (is_new) batch.groups.push_back(forward.group.get());
      batch.users.emplace_back(&forward, entry->second);
    }
  }
  return batches;
}

absl::Status Run(const std::vector<GroupJob*>& jobs, const ForwardObserver& on_forward) {
  for (ModelBatch& batch : SplitByModel(jobs)) {
    const absl::Time start = absl::Now();
    ASSIGN_OR_RETURN(auto scores, ScoreCompletions(*batch.model->lm, batch.groups));
    on_forward(*batch.model, absl::Now() - start);
    for (auto& [forward, group_idx] : batch.users) forward->scores = scores[group_idx];
  }
  return absl::OkStatus();
}

}  // namespace

void GroupJob::CountTokens() {
  num_tokens = 0;
  for (const GroupForward& forward : forwards) num_tokens += forward.group->num_tokens();
}

void RunGroupJobs(const std::vector<JobPtr>& jobs, const ForwardObserver& on_forward) {
  std::vector<GroupJob*> group_jobs;
  for (const JobPtr& job : jobs) group_jobs.push_back(static_cast<GroupJob*>(job.get()));
  const absl::Status batch_status = Run(group_jobs, on_forward);
  for (GroupJob* job : group_jobs) {
    job->status = batch_status.ok() || group_jobs.size() == 1 ? batch_status : Run({job}, on_forward);
  }
}

}  // namespace prefscore
