// SPDX-License-Identifier: Apache-2.0
#include "client/cli/pair_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/text_width.h"

namespace prefscore::cli {
namespace {

constexpr std::size_t kMaxIdWidth = 24;
constexpr std::size_t kMaxFaultWidth = 80;

std::string Ranking(double margin) { return margin > 0 ? "right" : margin < 0 ? "wrong" : "tie"; }

}  // namespace

void PairTable::Add(const v1::PairResult& result) {
  if (rows_.size() >= max_rows_) return;
  const std::string id = CutText(result.id().empty() ? absl::StrCat("#", result.index()) : result.id(), kMaxIdWidth);
  if (result.has_status()) {
    rows_.push_back({id, absl::StrCat("failed: ", CutText(result.status().message(), kMaxFaultWidth))});
    return;
  }
  const bool has_objective = result.objectives_size() > 0;
  const v1::ObjectiveResult objective = has_objective ? result.objectives(0) : v1::ObjectiveResult();
  rows_.push_back(
      {id, absl::StrFormat("%.3f", result.policy_margin()),
       result.has_reference_margin() ? absl::StrFormat("%.3f", result.reference_margin()) : "",
       has_objective ? absl::StrFormat("%.4f", objective.loss()) : "",
       has_objective ? absl::StrFormat("%.4f", objective.chosen_reward() - objective.rejected_reward()) : "",
       absl::StrCat(result.num_prompt_tokens()), absl::StrCat(result.num_chosen_tokens()),
       absl::StrCat(result.num_rejected_tokens()), Ranking(result.policy_margin()),
       result.has_reference_margin() ? Ranking(result.reference_margin()) : ""});
}

std::string PairTable::Text() const {
  if (rows_.empty()) return "";
  std::vector<std::vector<std::string>> lines = {
      {"id", "h", "h0", "loss", "reward margin", "prompt", "chosen", "rejected", "policy", "reference"}};
  lines.insert(lines.end(), rows_.begin(), rows_.end());
  std::vector<std::size_t> widths(lines[0].size());
  for (const auto& line : lines) {
    if (line.size() != widths.size()) continue;  // a failed row has no columns
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], ColumnWidth(line[i]));
  }
  for (const auto& line : lines) widths[0] = std::max(widths[0], ColumnWidth(line[0]));
  std::string text;
  for (const auto& line : lines) {
    absl::StrAppend(&text, line[0], std::string(widths[0] - ColumnWidth(line[0]), ' '));
    if (line.size() != widths.size()) {
      absl::StrAppend(&text, "  ", line[1], "\n");
      continue;
    }
    for (std::size_t i = 1; i < line.size(); ++i) {
      absl::StrAppend(&text, "  ", std::string(widths[i] - ColumnWidth(line[i]), ' '), line[i]);
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

}  // namespace prefscore::cli
