// SPDX-License-Identifier: Apache-2.0
#include "client/cli/summary.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "client/cli/objective_flag.h"

namespace prefscore::cli {
namespace {

constexpr int kMinWidth = 14;           // of a column
constexpr std::size_t kNameWidth = 20;  // of the first column
constexpr std::size_t kMaxWidth = 100;  // of the text

std::string ObjectiveColumns(const std::vector<Summary::Objective>& objectives) {
  std::string text = absl::StrFormat("%-20s", "");
  for (const Summary::Objective& objective : objectives) {
    absl::StrAppendFormat(&text, "  %*s", kMinWidth, objective.name);
  }
  for (std::size_t row = 0; !objectives.empty() && row < objectives[0].means.size(); ++row) {
    absl::StrAppendFormat(&text, "\n%-20s", objectives[0].means[row].first);
    for (const Summary::Objective& objective : objectives) {
      const int width = std::max<int>(kMinWidth, objective.name.size());
      absl::StrAppendFormat(&text, "  %*.6f", width, objective.means[row].second);
    }
  }
  return text + "\n";
}

// For names that do not fit side by side.
std::string ObjectiveRows(const std::vector<Summary::Objective>& objectives) {
  std::string text;
  const auto width = [](const std::string& name) { return std::max<int>(kMinWidth, name.size()); };
  for (const auto& [name, mean] : objectives[0].means) {
    absl::StrAppendFormat(&text, "%s%*s", text.empty() ? "" : "  ", width(name), name);
  }
  absl::StrAppend(&text, "  objective\n");
  for (const Summary::Objective& objective : objectives) {
    for (std::size_t column = 0; column < objective.means.size(); ++column) {
      const auto& [name, mean] = objective.means[column];
      absl::StrAppendFormat(&text, "%s%*.6f", column == 0 ? "" : "  ", width(name), mean);
    }
    absl::StrAppend(&text, "  ", objective.name, "\n");
  }
  return text;
}

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
  std::size_t width = kNameWidth;
  for (const Objective& objective : objectives) width += 2 + std::max<std::size_t>(kMinWidth, objective.name.size());
  std::string text = width <= kMaxWidth ? ObjectiveColumns(objectives) : ObjectiveRows(objectives);
  const int column_width =
      width <= kMaxWidth && !objectives.empty() ? std::max<int>(kMinWidth, objectives[0].name.size()) : kMinWidth;
  absl::StrAppendFormat(&text, "%-20s  %*.6f\n%-20s  %*.6f\n", "logps/chosen", column_width, MeanChosenLogProb(),
                        "logps/rejected", column_width, MeanRejectedLogProb());
  return text;
}

}  // namespace prefscore::cli
