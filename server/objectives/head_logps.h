// SPDX-License-Identifier: Apache-2.0
// The part of a pair that both completions have: its first min(num_chosen_tokens, num_rejected_tokens) tokens.
#pragma once

#include <array>
#include <vector>

#include "server/objectives/objective.h"

namespace prefscore {

// [0 policy, 1 reference][0 chosen, 1 rejected][token]; empty where not known.
using PairTokenLogps = std::array<std::array<std::vector<double>, 2>, 2>;

// Log-probs of the first tokens; kUnknown where a completion's tokens are not known. A completion that is all head has
// the log-prob of `logps`.
PairLogProbs HeadLogProbs(const PairTokenLogps& token_logps, const PairLogProbs& logps);

}  // namespace prefscore
