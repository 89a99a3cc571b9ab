// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/group_job.h"

#include <chrono>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/scoring/batch_plan.h"
#include "server/scoring/job_cost.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

absl::Status Run(const std::vector<GroupJob*>& jobs, PassRunner& runner, const ForwardObserver& on_forward) try {
  std::vector<GroupForward*> forwards;
  for (GroupJob* job : jobs) {
    for (GroupForward& forward : job->forwards) forwards.push_back(&forward);
  }
  for (const PlannedForward& planned : PlanBatch(forwards)) {
    const auto start = std::chrono::steady_clock::now();
    bool was_split = false;
    ASSIGN_OR_RETURN(GroupScores scores, runner.Run(planned.model(), planned.groups(), was_split));
    const auto pass = std::make_shared<const ForwardPass>(
        ForwardPass{.start = start, .duration = std::chrono::steady_clock::now() - start});
    ForwardReport report{.model = planned.model(),
                         .work = {},
                         .duration = absl::FromChrono(pass->duration),
                         .num_tokens = planned.num_tokens(),
                         .num_tokens_saved = planned.num_tokens_asked() - planned.num_tokens(),
                         .was_split = was_split};
    for (const PromptGroup* group : planned.groups()) report.work += WorkOf(*group);
    on_forward(report);
    planned.Distribute(std::move(scores));
    for (GroupForward* forward : planned.forwards()) forward->pass = pass;
  }
  return absl::OkStatus();
} catch (const std::exception& error) {  // of planning: passes have a seam of their own
  return absl::InternalError(absl::StrCat("a batch could not be made: ", error.what()));
}

}  // namespace

std::int64_t NumMissingTokens(const GroupForward& forward) {
  std::int64_t num_tokens = 0;
  for (std::size_t idx = 0; idx < forward.group->completions.size(); ++idx) {
    if (forward.IsMissing(idx)) num_tokens += static_cast<std::int64_t>(forward.group->completions[idx].size());
  }
  return num_tokens == 0 ? 0 : num_tokens + static_cast<std::int64_t>(forward.group->prompt.size());
}

void RunGroupJobs(const std::vector<JobPtr>& jobs, PassRunner& runner, const ForwardObserver& on_forward) {
  std::vector<GroupJob*> group_jobs;
  for (const JobPtr& job : jobs) group_jobs.push_back(static_cast<GroupJob*>(job.get()));
  const absl::Status batch_status = Run(group_jobs, runner, on_forward);
  for (GroupJob* job : group_jobs) {
    job->status = batch_status.ok() || group_jobs.size() == 1 ? batch_status : Run({job}, runner, on_forward);
  }
}

}  // namespace prefscore
