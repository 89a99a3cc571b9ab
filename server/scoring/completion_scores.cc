// SPDX-License-Identifier: Apache-2.0
//   log p(y | x) = sum over t of log p(y_t | x, y_<t)
// The model gives the terms; they are summed here in float64, in token order.
#include "server/scoring/completion_scores.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/status_macros.h"

namespace prefscore {

CompletionScore SumTokens(CompletionLogProbs logps) {
  CompletionScore score;
  for (const double token_logp : logps.token_logps) score.logp += token_logp;
  score.token_logps = std::move(logps.token_logps);
  score.is_greedy_match = logps.is_greedy_match;
  return score;
}

absl::StatusOr<std::vector<std::vector<CompletionScore>>> ScoreCompletions(
    const CausalLm& model, std::span<const PromptGroup* const> groups) {
  ASSIGN_OR_RETURN(std::vector<GroupTokenLogProbs> logps_of_groups, model.Forward(groups));
  std::vector<std::vector<CompletionScore>> scores(groups.size());
  for (std::size_t group_idx = 0; group_idx < groups.size(); ++group_idx) {
    for (CompletionLogProbs& logps : logps_of_groups[group_idx]) {
      scores[group_idx].push_back(SumTokens(std::move(logps)));
    }
  }
  return scores;
}

absl::Status CheckFinite(const CompletionScore& score, const std::string& name) {
  for (std::size_t token_idx = 0; token_idx < score.token_logps.size(); ++token_idx) {
    if (!std::isfinite(score.token_logps[token_idx])) {
      return absl::OutOfRangeError(
          absl::StrCat(name, ": the log-prob of token ", token_idx, " is ", score.token_logps[token_idx]));
    }
  }
  return absl::OkStatus();
}

}  // namespace prefscore
