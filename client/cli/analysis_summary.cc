// SPDX-License-Identifier: Apache-2.0
#include "client/cli/analysis_summary.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/text_width.h"
#include "server/report_html/number_text.h"

namespace prefscore::cli {
namespace {

constexpr std::size_t kColumns = 100;
constexpr std::size_t kLines = 24;
constexpr std::size_t kMostNameWidth = 32;            // of an objective or a slice
constexpr std::uint64_t kMostWrittenOut = 9'999'999;  // counts above are shortened, for the learning table's width

using report_html::CountOf;
using report_html::CountText;
using report_html::NumberText;
using report_html::ShortNumberText;

using Lines = std::vector<std::string>;

std::string Percent(double share) { return absl::StrFormat("%.1f%%", 100 * share); }

std::string ShortCount(std::uint64_t count) {
  return count <= kMostWrittenOut ? CountText(count) : ShortNumberText(static_cast<double>(count));
}

void AddCounts(const v1::AnalysisReport& report, Lines& lines) {
  std::string text = CountOf(report.num_pairs(), "pair");
  const std::uint64_t num_with_reference = report.slices_size() > 0 ? report.slices(0).num_pairs_with_reference() : 0;
  if (num_with_reference != report.num_pairs()) {
    absl::StrAppend(&text, ", ", num_with_reference == 0 ? "none" : CountText(num_with_reference),
                    " of them with a reference");
  }
  if (report.num_faulty_pairs() == 0) {
    lines.push_back(text);
    return;
  }
  lines.push_back(absl::StrCat(text, "; ", CountText(report.num_faulty_pairs()), " more faulty"));
  std::string faults = "  ";
  if (report.num_non_finite_pairs() > 0) {
    absl::StrAppend(&faults, CountText(report.num_non_finite_pairs()), " with log-probs that are not finite; ");
  }
  if (report.faulty_pairs_size() > 0) {
    const v1::FaultyPair& first = report.faulty_pairs(0);
    absl::StrAppend(&faults, "the first, ", first.id().empty() ? "without id" : first.id(), ": ", first.message());
  }
  lines.push_back(CutText(faults, kColumns));
}

void AddRanking(const v1::SliceReport& overall, Lines& lines) {
  const v1::RankingReport& ranking = overall.ranking();
  const bool has_reference = overall.num_pairs_with_reference() > 0;
  std::string ranked = absl::StrCat("ranked right   policy ", Percent(ranking.policy_accuracy()));
  if (has_reference) {
    absl::StrAppend(&ranked, ", reference ", Percent(ranking.reference_accuracy()), "; they agree on ",
                    Percent(ranking.agreement()), "; pessimistic (h0 < 0) ", Percent(ranking.pessimistic_share()));
  }
  lines.push_back(ranked);
  if (has_reference) {
    lines.push_back(absl::StrCat("displacement   both completions fell in ", Percent(ranking.both_fell_share()),
                                 ", the chosen one in ", Percent(ranking.chosen_fell_share())));
  }
  if (!overall.has_length()) return;
  std::string length =
      absl::StrCat("length         chosen longer in ", Percent(overall.length().chosen_longer_share()),
                   "; correlation with h ", absl::StrFormat("%.3f", overall.length().policy_margin_correlation()));
  if (has_reference) absl::StrAppendFormat(&length, ", with h0 %.3f", overall.length().reference_margin_correlation());
  lines.push_back(length);
}

// A line per objective, under headings.
void AddObjectives(const v1::SliceReport& overall, Lines& lines) {
  std::size_t width = 10;
  for (const auto& objective : overall.objectives()) {
    width = std::max(width, std::min(ColumnWidth(objective.label()), kMostNameWidth));
  }
  lines.push_back(
      absl::StrCat(PadText("objective", width), "       loss  accuracy  gradient mass  effective sample  saturated"));
  for (const v1::ObjectiveReport& objective : overall.objectives()) {
    lines.push_back(absl::StrFormat(
        "%s %10s %9s %14s %17s %10s", PadText(CutText(objective.label(), width), width),
        NumberText(objective.mean_loss()), Percent(objective.accuracy()), NumberText(objective.gradient_mass()),
        NumberText(objective.effective_sample_size()), Percent(objective.saturated_share())));
  }
}

std::string VerdictMark(v1::Verdict verdict) {
  return verdict == v1::VERDICT_LEARNING ? "+" : verdict == v1::VERDICT_NO_LEARNING ? "-" : " ";
}

// Rows and columns of ties only where they have pairs.
void AddLearningTable(const v1::ObjectiveReport& objective, Lines& lines) {
  if (objective.learning_table_size() != 9) return;
  const auto cell = [&](int policy, int reference) -> const v1::LearningCell& {
    return objective.learning_table(3 * policy + reference);
  };
  std::vector<int> policies = {0, 2}, references = {0, 2};
  for (const int other : {0, 1, 2}) {
    if (cell(1, other).num_pairs() > 0 && policies.size() == 2) policies = {0, 1, 2};
    if (cell(other, 1).num_pairs() > 0 && references.size() == 2) references = {0, 1, 2};
  }
  std::size_t count_width = 5;
  for (const v1::LearningCell& each : objective.learning_table()) {
    count_width = std::max(count_width, ShortCount(each.num_pairs()).size());
  }
  const char* const names[] = {"right", "tie", "wrong"};
  std::string heads = "       ", titles = "policy ";
  for (const int reference : references) {
    const std::string title = absl::StrFormat(" %*s  share   mass post", count_width, "pairs");
    titles += title + "  ";
    heads += PadText(absl::StrCat(" reference ", names[reference]), title.size() + 2);
  }
  lines.insert(lines.end(),
               {absl::StrCat("Learning table of ", CutText(objective.label(), kColumns / 2)), heads, titles});
  for (const int policy : policies) {
    std::string line = absl::StrFormat("%-7s", names[policy]);
    for (const int reference : references) {
      const v1::LearningCell& here = cell(policy, reference);
      absl::StrAppendFormat(&line, " %*s %6s %6s  %s%s%s  ", count_width, ShortCount(here.num_pairs()),
                            Percent(here.share()), Percent(here.gradient_mass_share()),
                            VerdictMark(here.verdict_large_gamma()), VerdictMark(here.verdict_zero_gamma()),
                            here.is_diagonal() ? "*" : " ");
    }
    lines.push_back(line);
  }
  lines.push_back("mass: share of the gradient's; post: learning (+) or not (-) at gamma >> 0 and at 0; *: diagonal");
  lines.push_back("");
}

std::string SliceName(const v1::SliceReport& slice) {
  const std::string value = slice.num_grouped_values() > 0
                                ? absl::StrCat("(", CountOf(slice.num_grouped_values(), "further value"), ")")
                                : slice.label_value();
  return CutText(absl::StrCat(slice.label_name(), "=", value), kMostNameWidth);
}

void AddSlices(const v1::AnalysisReport& report, std::size_t num_lines, Lines& lines) {
  std::vector<const v1::SliceReport*> slices;
  for (int i = 1; i < report.slices_size(); ++i) slices.push_back(&report.slices(i));
  if (slices.empty() || num_lines < 1) return;
  std::stable_sort(slices.begin(), slices.end(),
                   [](auto* left, auto* right) { return left->num_pairs() > right->num_pairs(); });
  const bool fits = slices.size() + 1 <= num_lines;
  const std::size_t num_shown = fits ? slices.size() : num_lines < 3 ? 0 : num_lines - 2;
  std::vector<std::string> names;
  std::size_t width = 5;
  for (std::size_t i = 0; i < num_shown; ++i) {
    names.push_back(SliceName(*slices[i]));
    width = std::max(width, ColumnWidth(names.back()));
  }
  if (num_shown > 0) {
    lines.push_back(
        absl::StrCat(PadText("slice", width), "      pairs  policy right  reference right       loss  gradient mass"));
  }
  for (std::size_t i = 0; i < num_shown; ++i) {
    const v1::SliceReport& slice = *slices[i];
    const bool has_objective = slice.objectives_size() > 0 && report.slices(0).objectives_size() > 0;
    const double mass = has_objective ? report.slices(0).objectives(0).gradient_mass() : 0;
    lines.push_back(
        absl::StrFormat("%s %10s %13s %16s %10s %14s", PadText(names[i], width), ShortCount(slice.num_pairs()),
                        Percent(slice.ranking().policy_accuracy()),
                        slice.num_pairs_with_reference() > 0 ? Percent(slice.ranking().reference_accuracy()) : "-",
                        has_objective ? NumberText(slice.objectives(0).mean_loss()) : "-",
                        mass > 0 ? Percent(slice.objectives(0).gradient_mass() / mass) : "-"));
  }
  const std::size_t num_left = slices.size() - num_shown;
  if (num_left > 0) {
    lines.push_back(num_shown == 0 ? CountOf(num_left, "slice") + " in the reports"
                                   : absl::StrCat("and ", CountText(num_left), " more in the reports"));
  }
}

}  // namespace

std::string AnalysisSummary(const v1::AnalysisReport& report) {
  Lines lines;
  AddCounts(report, lines);
  if (report.num_pairs() == 0 || report.slices_size() == 0) {
    lines.push_back("The report is empty.");
  } else {
    const v1::SliceReport& overall = report.slices(0);
    AddRanking(overall, lines);
    if (overall.objectives_size() > 0) {
      lines.push_back("");
      AddObjectives(overall, lines);
      lines.push_back("");
      AddLearningTable(overall.objectives(0), lines);
    }
    const std::size_t most = kLines + static_cast<std::size_t>(std::max(0, overall.objectives_size() - 1));
    AddSlices(report, most - std::min(most, lines.size()), lines);
    while (lines.back().empty()) lines.pop_back();
  }
  std::string text;
  for (std::string& line : lines) {
    line = CutText(line, kColumns);  // should numbers ever be that wide
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace prefscore::cli
