// SPDX-License-Identifier: Apache-2.0
// Slices: compared with each other and with all pairs, then the learning table of each.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/report_html/html_text.h"
#include "server/report_html/number_text.h"
#include "server/report_html/sections.h"

namespace prefscore::report_html {
namespace {

std::string Percent(double share) { return EscapeHtml(PercentText(share)); }

// With a bar behind it, for comparing down a column.
std::string PercentBar(double share) {
  return absl::StrCat("<span class=\"bar-cell\" style=\"--share:",
                      absl::StrFormat("%.3f", share >= 0 && share <= 1 ? share : 0), "\">", Percent(share), "</span>");
}

std::string ValueHtml(const v1::SliceReport& slice) {
  if (slice.num_grouped_values() > 0)
    return absl::StrCat(CountOf(slice.num_grouped_values(), "further value"), ", together");
  return slice.label_value().empty() ? "(empty)" : Code(slice.label_value());
}

// The largest slices, in the order of the report. The overall slice is not among them.
std::vector<const v1::SliceReport*> LargestSlices(const v1::AnalysisReport& report, std::size_t most) {
  std::vector<int> indices;
  for (int i = 1; i < report.slices_size(); ++i) indices.push_back(i);
  std::stable_sort(indices.begin(), indices.end(), [&](int left, int right) {
    return report.slices(left).num_pairs() > report.slices(right).num_pairs();
  });
  if (indices.size() > most) indices.resize(most);
  std::sort(indices.begin(), indices.end());
  std::vector<const v1::SliceReport*> slices;
  for (const int i : indices) slices.push_back(&report.slices(i));
  return slices;
}

std::string RankingTable(const std::string& label_name, const std::vector<const v1::SliceReport*>& slices) {
  HtmlTable table(absl::StrCat("Who ranks right, by ", Code(label_name)), {{Code(label_name), HtmlTable::Align::kText},
                                                                           {"pairs"},
                                                                           {"policy right"},
                                                                           {"reference right"},
                                                                           {"pessimistic"},
                                                                           {"agreement"},
                                                                           {"both fell"},
                                                                           {"chosen longer"},
                                                                           {"length<br>correlation of h"}});
  for (const v1::SliceReport* slice : slices) {
    const v1::RankingReport& ranking = slice->ranking();
    const bool is_overall = slice->label_name().empty();
    std::vector<std::string> cells = {is_overall ? "all pairs" : ValueHtml(*slice), CountText(slice->num_pairs()),
                                      PercentBar(ranking.policy_accuracy())};
    if (slice->num_pairs_with_reference() > 0) {
      cells.insert(cells.end(), {PercentBar(ranking.reference_accuracy()), PercentBar(ranking.pessimistic_share()),
                                 PercentBar(ranking.agreement()), PercentBar(ranking.both_fell_share())});
    } else {
      cells.insert(cells.end(), 4, "–");
    }
    cells.push_back(slice->has_length() ? PercentBar(slice->length().chosen_longer_share()) : "–");
    cells.push_back(slice->has_length() ? NumberText(slice->length().policy_margin_correlation()) : "–");
    table.AddRow(cells, is_overall ? "as-is" : "");
  }
  return table.Html();
}

std::string ObjectiveTable(const std::string& label_name, const std::vector<const v1::SliceReport*>& slices,
                           int index) {
  const v1::ObjectiveReport& overall = slices[0]->objectives(index);
  HtmlTable table(absl::StrCat(Code(overall.label()), " by ", Code(label_name)),
                  {{Code(label_name), HtmlTable::Align::kText},
                   {"pairs"},
                   {"mean loss"},
                   {"accuracy"},
                   {"share of<br>all pairs"},
                   {"share of all<br>gradient mass"},
                   {"effective<br>sample size"},
                   {"of its pairs"},
                   {"saturated"}});
  const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
  for (const v1::SliceReport* slice : slices) {
    if (index >= slice->objectives_size()) continue;
    const v1::ObjectiveReport& objective = slice->objectives(index);
    const bool is_overall = slice->label_name().empty();
    const auto num_pairs = static_cast<double>(objective.num_pairs());
    table.AddRow(
        {is_overall ? "all pairs" : ValueHtml(*slice), CountText(objective.num_pairs()),
         NumberText(objective.mean_loss()), PercentBar(objective.accuracy()),
         PercentBar(share(num_pairs, static_cast<double>(overall.num_pairs()))),
         PercentBar(share(objective.gradient_mass(), overall.gradient_mass())),
         NumberText(objective.effective_sample_size()), PercentBar(share(objective.effective_sample_size(), num_pairs)),
         PercentBar(objective.saturated_share())},
        is_overall ? "as-is" : "");
  }
  return table.Html();
}

std::string SliceTables(const v1::SliceReport& slice) {
  std::string html;
  for (int i = 0; i < std::min(slice.objectives_size(), kMostObjectivesOfSlice); ++i) {
    html += LearningTableLines(slice.objectives(i));
  }
  return html.empty() ? Element("p", "No learning table: there are no reference log-probs.", "class=\"empty\"") : html;
}

std::string NameText(const v1::SliceReport& slice) {
  const std::string value = slice.num_grouped_values() > 0 ? CountOf(slice.num_grouped_values(), "further value")
                            : slice.label_value().empty()  ? "(empty)"
                                                           : slice.label_value();
  return absl::StrCat(slice.label_name(), " = ", value, ", ", CountOf(slice.num_pairs(), "pair"));
}

}  // namespace

std::string SlicesSection(const v1::AnalysisReport& report) {
  if (report.slices_size() < 2) return "";
  const v1::SliceReport& overall = report.slices(0);
  const auto slices = LargestSlices(report, kMostSlices);
  std::string html =
      "<p class=\"read\">◆ marks the diagonal of the learning table. A slice whose share of the gradient mass is above "
      "its share of "
      "the pairs pulls more than its number.</p>\n";
  if (report.slices_size() - 1 > kMostSlices) {
    html += LeftOut(
        absl::StrCat("Shown are the ", kMostSlices, " largest of ", CountOf(report.slices_size() - 1, "slice"), "."));
  }
  for (auto begin = slices.begin(); begin != slices.end();) {
    const std::string& name = (*begin)->label_name();
    const auto end = std::find_if(begin, slices.end(), [&](const auto* slice) { return slice->label_name() != name; });
    std::vector<const v1::SliceReport*> rows = {&overall};
    rows.insert(rows.end(), begin, end);
    absl::StrAppend(&html, "<h3>By ", Code(name), "</h3>\n", RankingTable(name, rows));
    for (int i = 0; i < std::min(overall.objectives_size(), kMostDrawnObjectives); ++i)
      html += ObjectiveTable(name, rows, i);
    begin = end;
  }
  const auto tables = LargestSlices(report, kMostSliceTables);
  html += "<h3>Learning tables of the slices</h3>\n";
  if (static_cast<int>(slices.size()) > kMostSliceTables) {
    html += LeftOut(absl::StrCat("Of the ", kMostSliceTables, " largest slices."));
  }
  if (overall.objectives_size() > kMostObjectivesOfSlice) {
    html += LeftOut(absl::StrCat("Of the first ", kMostObjectivesOfSlice, " objectives."));
  }
  for (const v1::SliceReport* slice : tables) html += Details(NameText(*slice), SliceTables(*slice));
  return html;
}

}  // namespace prefscore::report_html
