// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/cells.h"

#include "absl/strings/str_cat.h"

namespace prefscore::report_html {

std::string RankingText(v1::Ranking ranking) {
  switch (ranking) {
    case v1::RANKING_RIGHT: return "right";
    case v1::RANKING_TIE: return "tie";
    case v1::RANKING_WRONG: return "wrong";
    default: return "unknown";
  }
}

std::string CellName(v1::Ranking policy, v1::Ranking reference) {
  return absl::StrCat("policy ", RankingText(policy), ", reference ", RankingText(reference));
}

std::string CellClass(v1::Ranking policy, v1::Ranking reference) {
  const auto is_tie = [](v1::Ranking ranking) { return ranking != v1::RANKING_RIGHT && ranking != v1::RANKING_WRONG; };
  if (is_tie(policy) || is_tie(reference)) return "cell-tie";
  return absl::StrCat("cell-", RankingText(policy), "-", RankingText(reference));
}

std::string VerdictText(v1::Verdict verdict) {
  switch (verdict) {
    case v1::VERDICT_LEARNING: return "learning";
    case v1::VERDICT_NO_LEARNING: return "no learning";
    default: return "–";
  }
}

std::vector<CellGroup> CellGroups() {
  return {{"policy right, reference right", "cell-right-right", {0}},
          {"policy right, reference wrong", "cell-right-wrong", {2}},
          {"policy wrong, reference right", "cell-wrong-right", {6}},
          {"policy wrong, reference wrong", "cell-wrong-wrong", {8}},
          {"a tie in either", "cell-tie", {1, 3, 4, 5, 7}}};
}

double GroupShare(const CellGroup& group, const v1::SweepPoint& point) {
  if (!(point.gradient_mass() > 0)) return 0;
  double mass = 0;
  for (const int cell : group.cells) {
    if (cell < point.gradient_mass_by_cell_size()) mass += point.gradient_mass_by_cell(cell);
  }
  return mass / point.gradient_mass();
}

}  // namespace prefscore::report_html
