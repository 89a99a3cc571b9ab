// SPDX-License-Identifier: Apache-2.0
// Who ranks a pair right, and what that pair then weighs in the gradient.
#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/report_html/cells.h"
#include "server/report_html/html_text.h"
#include "server/report_html/number_text.h"
#include "server/report_html/sections.h"

namespace prefscore::report_html {
namespace {

constexpr v1::Ranking kRankings[] = {v1::RANKING_RIGHT, v1::RANKING_TIE, v1::RANKING_WRONG};

std::string Percent(double share) { return EscapeHtml(PercentText(share)); }

// A bar of the cell's width; the number beside it says the same.
std::string Bar(const std::string& name, double share, const std::string& css_class) {
  const double percent = std::isfinite(share) ? std::clamp(100 * share, 0., 100.) : 0;
  return absl::StrCat("<div class=\"share\"><span>", name, "</span><span class=\"track\"><span class=\"fill ",
                      css_class, absl::StrFormat("\" style=\"width:%.1f%%\"></span></span><b>", percent),
                      Percent(share), "</b></div>");
}

std::string VerdictHtml(const std::string& gamma, v1::Verdict verdict) {
  const char* const css_class = verdict == v1::VERDICT_LEARNING      ? "yes"
                                : verdict == v1::VERDICT_NO_LEARNING ? "no"
                                                                     : "silent";
  return absl::StrCat("<span class=\"verdict ", css_class, "\">", gamma, ": ", VerdictText(verdict), "</span>");
}

std::string Fact(const std::string& name, const std::string& value) {
  return absl::StrCat("<dt>", name, "</dt><dd>", value, "</dd>");
}

std::string DiagonalHtml(const v1::LearningCell& cell) {
  if (!cell.is_diagonal()) return "";
  return absl::StrCat("<div class=\"diagonal\">◆ start: ", CountOf(cell.num_initial_pairs(), "pair"), "</div>");
}

std::string CellHtml(const v1::LearningCell& cell) {
  const std::string css_class = CellClass(cell.policy(), cell.reference());
  std::string html = absl::StrCat("<td class=\"cell edge-", css_class, cell.is_diagonal() ? " is-diagonal" : "", "\">",
                                  "<div class=\"pairs\"><b>", CountText(cell.num_pairs()), "</b> ",
                                  cell.num_pairs() == 1 ? "pair" : "pairs", "</div>");
  if (cell.num_pairs() > 0) {
    absl::StrAppend(&html, Bar("of the pairs", cell.share(), "plain"),
                    Bar("of the gradient", cell.gradient_mass_share(), css_class), "<dl>",
                    Fact("gradient mass", NumberText(cell.gradient_mass())),
                    Fact("mean loss", NumberText(cell.mean_loss())), Fact("mean z", NumberText(cell.mean_logit())),
                    Fact("active, z &lt; 0", Percent(cell.active_share())),
                    Fact("still learning", Percent(cell.learning_share())), "</dl>");
  }
  const bool is_silent =
      cell.verdict_large_gamma() == v1::VERDICT_UNSPECIFIED && cell.verdict_zero_gamma() == v1::VERDICT_UNSPECIFIED;
  if (!is_silent) {
    absl::StrAppend(&html, "<div class=\"verdicts\">", VerdictHtml("γ ≫ 0", cell.verdict_large_gamma()),
                    VerdictHtml("γ = 0", cell.verdict_zero_gamma()), "</div>");
  }
  return absl::StrCat(html, DiagonalHtml(cell), "</td>");
}

// The cell at a place of the table. Cells come in the table's order, but that is not taken for granted.
const v1::LearningCell* FindCell(const v1::ObjectiveReport& objective, v1::Ranking policy, v1::Ranking reference) {
  for (const v1::LearningCell& cell : objective.learning_table()) {
    if (cell.policy() == policy && cell.reference() == reference) return &cell;
  }
  return nullptr;
}

// Share of the gradient mass in the cells that the post would have learn.
double LearningMass(const v1::ObjectiveReport& objective, v1::Verdict (v1::LearningCell::*verdict)() const) {
  double share = 0;
  for (const v1::LearningCell& cell : objective.learning_table()) {
    if ((cell.*verdict)() == v1::VERDICT_LEARNING) share += cell.gradient_mass_share();
  }
  return share;
}

std::string HowToRead(const v1::ObjectiveReport& objective, const v1::AnalysisOptions& options) {
  const std::string threshold = options.has_learning_threshold()
                                    ? absl::StrCat(" (above ", ParameterText(options.learning_threshold()), ")")
                                    : "";
  return absl::StrCat(
      "<p class=\"read\">Rows tell whether the policy ranks a pair as the annotator does, columns whether the "
      "reference does. ",
      "In each cell, compare the two bars: where the lower is longer, its pairs pull more than their number. ",
      "The words in the cells are those of the post “Continued musing on DPO”: for γ ≫ 0 pairs teach that the "
      "<em>reference</em> has "
      "right, for γ = 0 pairs that the <em>policy</em> has wrong. Here, at γ/β = ",
      objective.beta() > 0 ? ParameterText(objective.gamma() / objective.beta()) : "0", ", <strong>",
      Percent(LearningMass(objective, &v1::LearningCell::verdict_large_gamma)),
      "</strong> of the gradient mass is where the reference is right, and <strong>",
      Percent(LearningMass(objective, &v1::LearningCell::verdict_zero_gamma)),
      "</strong> where the policy is wrong. ◆ marks the diagonal: a policy that was initialised as its reference "
      "started with "
      "all its pairs there. “Active” is z &lt; 0, “still learning” a weight σ(−z) that counts",
      threshold, ".</p>\n");
}

}  // namespace

std::string LearningTableHtml(const v1::ObjectiveReport& objective, const v1::AnalysisOptions& options) {
  if (objective.learning_table().empty()) {
    return Element("p", "No learning table: there are no reference log-probs.", "class=\"empty\"");
  }
  const bool has_ties =
      std::any_of(objective.learning_table().begin(), objective.learning_table().end(), [](const auto& cell) {
        return cell.num_pairs() > 0 && (cell.policy() == v1::RANKING_TIE || cell.reference() == v1::RANKING_TIE);
      });
  std::string html =
      absl::StrCat("<div class=\"scroll learning-scroll\"><table class=\"learning", has_ties ? "" : " without-ties",
                   "\">\n<caption>Pairs by who ranks them right, and what they weigh "
                   "in the gradient</caption>\n<thead><tr><th scope=\"col\"><span class=\"corner\">policy ↓ &nbsp; "
                   "reference →</span></th>");
  for (const v1::Ranking reference : kRankings) {
    absl::StrAppend(&html, "<th scope=\"col\" class=\"", RankingText(reference), "\">reference ",
                    RankingText(reference), "</th>");
  }
  html += "</tr></thead>\n<tbody>\n";
  for (const v1::Ranking policy : kRankings) {
    absl::StrAppend(&html, "<tr class=\"", RankingText(policy), "\"><th scope=\"row\">policy ", RankingText(policy),
                    "</th>\n");
    for (const v1::Ranking reference : kRankings) {
      const v1::LearningCell* const cell = FindCell(objective, policy, reference);
      absl::StrAppend(&html, cell ? CellHtml(*cell) : "<td class=\"cell\">not in the report</td>", "\n");
    }
    html += "</tr>\n";
  }
  return absl::StrCat(html, "</tbody></table></div>\n", HowToRead(objective, options));
}

std::string LearningTableLines(const v1::ObjectiveReport& objective) {
  HtmlTable table(absl::StrCat("Learning table of ", Code(objective.label()), ", and what the post says of the cells"),
                  {{"cell", HtmlTable::Align::kText},
                   {"pairs"},
                   {"share"},
                   {"mean loss"},
                   {"mean z"},
                   {"gradient mass"},
                   {"its share"},
                   {"active"},
                   {"still learning"},
                   {"γ ≫ 0", HtmlTable::Align::kText},
                   {"γ = 0", HtmlTable::Align::kText}},
                  "dense single-line");
  for (const v1::LearningCell& cell : objective.learning_table()) {
    if (cell.num_pairs() == 0) continue;
    const std::string swatch =
        absl::StrCat("<span class=\"swatch ", CellClass(cell.policy(), cell.reference()), "\"></span>");
    table.AddRow({absl::StrCat(swatch, CellName(cell.policy(), cell.reference()), cell.is_diagonal() ? " ◆" : ""),
                  CountText(cell.num_pairs()), Percent(cell.share()), NumberText(cell.mean_loss()),
                  NumberText(cell.mean_logit()), NumberText(cell.gradient_mass()), Percent(cell.gradient_mass_share()),
                  Percent(cell.active_share()), Percent(cell.learning_share()), VerdictText(cell.verdict_large_gamma()),
                  VerdictText(cell.verdict_zero_gamma())});
  }
  return table.empty() ? "" : table.Html();
}

}  // namespace prefscore::report_html
