// SPDX-License-Identifier: Apache-2.0
// The core of the service: token ids in, summed log-probabilities out.
#pragma once

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/models/causal_lm.h"
#include "server/scoring/types.h"

namespace prefscore {

// The completion's log-prob: the sum in float64, in token order.
CompletionScore SumTokens(CompletionLogProbs logps);

// Scores of all completions of all groups under one model, in one forward pass: [groups][completions].
absl::StatusOr<std::vector<std::vector<CompletionScore>>> ScoreCompletions(
    const CausalLm& model, std::span<const PromptGroup* const> groups);

// OUT_OF_RANGE naming `name`, token position and value where a token's log-prob is NaN or infinite.
absl::Status CheckFinite(const CompletionScore& score, const std::string& name);

}  // namespace prefscore
