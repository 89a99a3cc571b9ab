// SPDX-License-Identifier: Apache-2.0
// --objective TERM[+TERM...] with TERM = [WEIGHT*]NAME[:PARAMETER=VALUE,...], and its way back to text.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

// "sigmoid:beta=0.1,gamma=0.05", "0.8*sigmoid+0.2*bco_pair:delta=1+sft". INVALID_ARGUMENT for what is not of this form;
// which names and values exist is the registry's to say.
absl::StatusOr<v1::Objective> ParseObjectiveFlag(const std::string& text);

// The form above, with the shortest numbers that read back to the same doubles.
std::string FormatObjective(const v1::Objective& objective);
std::string FormatObjective(const v1::ObjectiveResult& objective);

}  // namespace prefscore::cli
