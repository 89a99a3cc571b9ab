// SPDX-License-Identifier: Apache-2.0
#include "server/objectives/head_logps.h"

#include <algorithm>

namespace prefscore {

PairLogProbs HeadLogProbs(const PairTokenLogps& token_logps, const PairLogProbs& logps) {
  // Both models read the same tokens, and one of them may not be known.
  const std::size_t num_chosen = std::max(token_logps[0][0].size(), token_logps[1][0].size());
  const std::size_t num_rejected = std::max(token_logps[0][1].size(), token_logps[1][1].size());
  const std::size_t num_shared = std::min(num_chosen, num_rejected);
  const auto head = [num_shared](const std::vector<double>& tokens, double logp) {
    if (tokens.empty() || num_shared == 0) return kUnknown;
    if (tokens.size() == num_shared) return logp;
    double sum = 0;
    for (std::size_t idx = 0; idx < num_shared; ++idx) sum += tokens[idx];
    return sum;
  };
  return {head(token_logps[0][0], logps.policy_chosen_logp), head(token_logps[0][1], logps.policy_rejected_logp),
          head(token_logps[1][0], logps.reference_chosen_logp), head(token_logps[1][1], logps.reference_rejected_logp)};
}

}  // namespace prefscore
