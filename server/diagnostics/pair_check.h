// SPDX-License-Identifier: Apache-2.0
// Whether a pair can be in a report.
#pragma once

#include "absl/status/status.h"
#include "server/diagnostics/analysis_plan.h"
#include "server/objectives/objective.h"

namespace prefscore {

// Quick, for every pair: whether all is there that some objective needs (of Need), and no known number out of range.
bool IsSound(const PairInputs& pair, unsigned needs);

// The first fault of a pair that is not sound, a FieldError whose field is a pair's.
absl::Status FaultOf(const PairInputs& pair, const AnalysisPlan& plan);

// A log-prob is NaN or infinite; those of the reference may be kUnknown, which is NaN.
bool HasNonFinite(const PairLogProbs& logps);

}  // namespace prefscore
