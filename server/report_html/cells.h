// SPDX-License-Identifier: Apache-2.0
// The cells of the learning table: their names, and their colours by meaning. Hue: the policy's ranking; light and
// hatched: the reference is wrong.
#pragma once

#include <string>
#include <vector>

#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::report_html {

// "right", "tie", "wrong".
std::string RankingText(v1::Ranking ranking);

// "policy right, reference wrong".
std::string CellName(v1::Ranking policy, v1::Ranking reference);

// Class of the style sheet: "cell-right-wrong", or "cell-tie" where either ties.
std::string CellClass(v1::Ranking policy, v1::Ranking reference);

// "learning", "no learning", "–" (of a tie the post says nothing).
std::string VerdictText(v1::Verdict verdict);

// What charts by cell show: the four cells without ties, and all cells with a tie together.
struct CellGroup {
  std::string name, css_class;
  std::vector<int> cells;  // indices into the learning table
};
std::vector<CellGroup> CellGroups();

// Gradient mass of the group's cells as a share of all; 0 where there is none.
double GroupShare(const CellGroup& group, const v1::SweepPoint& point);

}  // namespace prefscore::report_html
