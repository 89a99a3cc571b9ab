// SPDX-License-Identifier: Apache-2.0
// A prompt's completions on their way into the scheduler and back.
#pragma once

#include <memory>

#include "server/scoring/group_job.h"
#include "server/scoring/scorer.h"
#include "server/scoring/types.h"

namespace prefscore {

// Every completion under every model; null where the request is at fault, which `outcome` then says. Takes the content
// out of `request`.
std::shared_ptr<GroupJob> MakeCompletionsJob(GroupRequest& request, const CompletionOptions& options,
                                             GroupOutcome& outcome);

// Puts the scores back into the order of the request. OUT_OF_RANGE where a log-prob is not finite.
void FinishCompletions(const GroupRequest& request, const CompletionOptions& options, GroupJob& job,
                       GroupOutcome& outcome);

}  // namespace prefscore
