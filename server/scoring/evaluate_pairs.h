// SPDX-License-Identifier: Apache-2.0
// The objectives of a call, once all its log-probs are known.
#pragma once

#include <vector>

#include "server/objectives/objective.h"
#include "server/scoring/types.h"

namespace prefscore {

// Fills `objectives` of each pair whose status is OK; a pair that lacks what an objective needs gets its error as
// status. Returns one state per objective, empty unless it is a batch objective: its batch are the pairs that are OK.
std::vector<BatchState> EvaluateObjectives(const std::vector<Objective>& objectives, std::vector<PairOutcome>& pairs);

}  // namespace prefscore
