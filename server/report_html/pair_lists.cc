// SPDX-License-Identifier: Apache-2.0
// Pairs to look at, and pairs that are not in the report.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/report_html/html_text.h"
#include "server/report_html/number_text.h"
#include "server/report_html/sections.h"

namespace prefscore::report_html {
namespace {

using ListedPairs = google::protobuf::RepeatedPtrField<v1::ListedPair>;

// `value_name` is HTML, empty where the value is one of the margins.
std::string ListTable(const ListedPairs& pairs, const std::string& caption, const std::string& value_name) {
  if (pairs.empty()) return "";
  std::vector<HtmlTable::Column> columns = {{"id", HtmlTable::Align::kText}, {"h"}, {"h0"}};
  if (!value_name.empty()) columns.push_back({value_name});
  HtmlTable table(caption, columns);
  for (int i = 0; i < pairs.size() && i < kMostListedRows; ++i) {
    const v1::ListedPair& pair = pairs[i];
    table.AddRow({pair.id().empty() ? "(no id)" : Code(pair.id()), NumberText(pair.policy_margin()),
                  pair.has_reference_margin() ? NumberText(pair.reference_margin()) : "–", NumberText(pair.value())});
  }
  return Element("div", table.Html() + (pairs.size() > kMostListedRows
                                            ? LeftOut(absl::StrCat("Shown are the first ", kMostListedRows, " of ",
                                                                   CountOf(pairs.size(), "pair"), "."))
                                            : ""));
}

std::string Beside(const std::string& html) {
  return html.empty() ? "" : Element("div", "\n" + html, "class=\"lists\"");
}

}  // namespace

std::string PairListsSection(const v1::SliceReport& overall) {
  std::string html =
      Beside(ListTable(overall.most_negative_margins(), "Most negative margins of the policy: likely mislabelled", "") +
             ListTable(overall.ties(), "Ties of the policy or the reference", ""));
  for (const v1::ObjectiveReport& objective : overall.objectives()) {
    const std::string lists =
        ListTable(objective.largest_gradient_masses(), "Largest gradient masses", "gradient mass") +
        ListTable(objective.largest_required_margins(), "Largest required margins: the reference asks for most",
                  "required margin");
    if (!lists.empty()) absl::StrAppend(&html, "<h3>", Code(objective.label()), "</h3>\n", Beside(lists));
  }
  return html;
}

std::string FaultyPairsSection(const v1::AnalysisReport& report) {
  if (report.num_faulty_pairs() == 0) return "";
  std::string html =
      absl::StrCat("<p>", CountOf(report.num_faulty_pairs(), "pair"), " could not be used, ",
                   CountText(report.num_non_finite_pairs()), " of them for a log-prob that is NaN or infinite.</p>\n");
  HtmlTable table("The first of them by id",
                  {{"id", HtmlTable::Align::kText}, {"what is wrong", HtmlTable::Align::kText}});
  for (int i = 0; i < report.faulty_pairs_size() && i < kMostListedRows; ++i) {
    const v1::FaultyPair& pair = report.faulty_pairs(i);
    table.AddRow({pair.id().empty() ? "(no id)" : Code(pair.id()), EscapeHtml(pair.message())});
  }
  return html + (table.empty() ? "" : table.Html());
}

}  // namespace prefscore::report_html
