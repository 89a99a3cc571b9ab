// SPDX-License-Identifier: Apache-2.0
#include "client/cli/summary.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "client/cli/objective_flag.h"

namespace prefscore::cli {
namespace {

constexpr int kMinWidth = 14;  // of a column

}  // namespace

void Summary::Add(const v1::PairResult& result) {
  if (result.has_status()) {
    ++num_failed_;
    return;
  }
  ++num_scored_;
  chosen_logp_ += result.policy_chosen_logp();
  rejected_logp_ += result.policy_rejected_logp();
  if (sums_.empty()) {
    for (const auto& objective : result.objectives()) sums_.push_back({.name = FormatObjective(objective)});
  }
  for (int i = 0; i < result.objectives_size() && i < static_cast<int>(sums_.size()); ++i) {
    const v1::ObjectiveResult& objective = result.objectives(i);
    sums_[i].loss += objective.loss();
    sums_[i].chosen_reward += objective.chosen_reward();
    sums_[i].rejected_reward += objective.rejected_reward();
    sums_[i].num_accurate += objective.chosen_reward() > objective.rejected_reward() ? 1 : 0;
  }
}

std::vector<Summary::Objective> Summary::Objectives() const {
  const double count = static_cast<double>(num_scored_);
  std::vector<Objective> objectives;
  for (const Sums& sums : sums_) {
    objectives.push_back({sums.name,
                          {{"loss", sums.loss / count},
                           {"rewards/chosen", sums.chosen_reward / count},
                           {"rewards/rejected", sums.rejected_reward / count},
                           {"rewards/accuracies", sums.num_accurate / count},
                           {"rewards/margins", (sums.chosen_reward - sums.rejected_reward) / count}}});
  }
  return objectives;
}

std::string Summary::Text() const {
  if (num_scored_ == 0) return "";
  const std::vector<Objective> objectives = Objectives();
  const auto width = [&](std::size_t column) {
    return std::max<int>(kMinWidth, column < objectives.size() ? objectives[column].name.size() : 0);
  };
  std::string text = absl::StrFormat("%-20s", "");
  for (std::size_t column = 0; column < objectives.size(); ++column) {
    absl::StrAppendFormat(&text, "  %*s", width(column), objectives[column].name);
  }
  for (std::size_t row = 0; !objectives.empty() && row < objectives[0].means.size(); ++row) {
    absl::StrAppendFormat(&text, "\n%-20s", objectives[0].means[row].first);
    for (std::size_t column = 0; column < objectives.size(); ++column) {
      absl::StrAppendFormat(&text, "  %*.6f", width(column), objectives[column].means[row].second);
    }
  }
  absl::StrAppendFormat(&text, "\n%-20s  %*.6f\n%-20s  %*.6f\n", "logps/chosen", width(0), MeanChosenLogProb(),
                        "logps/rejected", width(0), MeanRejectedLogProb());
  return text;
}

}  // namespace prefscore::cli
