// SPDX-License-Identifier: Apache-2.0
// A pair's way into the scheduler and back: what must be computed, and what follows from it.
#pragma once

#include <memory>
#include <vector>

#include "server/objectives/objective.h"
#include "server/scoring/group_job.h"
#include "server/scoring/scorer.h"
#include "server/scoring/types.h"

namespace prefscore {

// The forwards that a pair needs: only completions whose log-prob the caller does not know. Null where there is nothing
// to compute: `outcome` is then complete, or carries the fault. Takes the content out of `request`.
std::shared_ptr<GroupJob> MakePairJob(PairRequest& request, const PairOptions& options, PairOutcome& outcome);

// Puts known and computed log-probs together. OUT_OF_RANGE where a log-prob is not finite.
void FinishPair(const PairRequest& request, const PairOptions& options, GroupJob& job, PairOutcome& outcome);

}  // namespace prefscore
