// SPDX-License-Identifier: Apache-2.0
#include "client/cli/analysis_summary.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/sample_report.h"

namespace prefscore::cli {
namespace {

using ::prefscore::testing::SampleReport;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::size_t WidestOf(const std::string& text) {
  std::size_t widest = 0;
  for (const std::string& line : LinesOf(text)) widest = std::max(widest, line.size());  // the sample is ASCII
  return widest;
}

std::string LineOf(const std::string& text, const std::string& start) {
  for (const std::string& line : LinesOf(text)) {
    if (line.starts_with(start)) return line;
  }
  return "";
}

TEST(AnalysisSummaryTest, FitsAScreen) {
  for (const int num_categories : {1, 5, 300}) {
    for (const int num_objectives : {0, 1, 2, 8}) {
      const std::string text =
          AnalysisSummary(SampleReport({.num_objectives = num_objectives, .num_categories = num_categories}));
      EXPECT_LE(LinesOf(text).size(), 24 + std::max(0, num_objectives - 1));
      EXPECT_LE(WidestOf(text), 100) << text;
      EXPECT_EQ(text.back(), '\n');
      EXPECT_THAT(text, Not(HasSubstr("\n\n\n")));
    }
  }
}

TEST(AnalysisSummaryTest, TellsTheNumbers) {
  v1::AnalysisReport report = SampleReport({.num_objectives = 1});
  v1::RankingReport& ranking = *report.mutable_slices(0)->mutable_ranking();
  ranking.set_policy_accuracy(0.71234);
  ranking.set_reference_accuracy(0.6);
  ranking.set_pessimistic_share(0.4);
  ranking.set_agreement(0.81);
  ranking.set_both_fell_share(0.22);
  ranking.set_chosen_fell_share(0.33);
  report.mutable_slices(0)->mutable_length()->set_policy_margin_correlation(-0.1873);
  v1::ObjectiveReport& objective = *report.mutable_slices(0)->mutable_objectives(0);
  objective.set_mean_loss(0.53129);
  objective.set_accuracy(0.7811);
  objective.set_gradient_mass(1234.5);
  objective.set_effective_sample_size(987.6);
  objective.set_saturated_share(0.031);
  const std::string text = AnalysisSummary(report);
  EXPECT_THAT(text, HasSubstr("2,000 pairs; 7 more faulty\n"));
  EXPECT_THAT(text,
              HasSubstr("3 with log-probs that are not finite; the first, <script>alert(1)</script>: logps.policy"));
  EXPECT_THAT(text, HasSubstr("policy 71.2%, reference 60.0%; they agree on 81.0%; pessimistic (h0 < 0) 40.0%"));
  EXPECT_THAT(text, HasSubstr("both completions fell in 22.0%, the chosen one in 33.0%"));
  EXPECT_THAT(text, HasSubstr("correlation with h -0.187, with h0 "));
  EXPECT_THAT(LineOf(text, "sigmoid:beta=0.1 "), ContainsRegex("0.5313 +78.1% +1,23[45] +987.6 +3.1%"));
}

TEST(AnalysisSummaryTest, LearningTableWithThePostsVerdicts) {
  v1::AnalysisReport report = SampleReport({.num_objectives = 1, .num_categories = 1});
  auto& cells = *report.mutable_slices(0)->mutable_objectives(0)->mutable_learning_table();
  for (auto& cell : cells) {
    cell.set_num_pairs(0);
    cell.set_share(0);
    cell.set_gradient_mass_share(0);
  }
  const auto set = [&](int index, std::uint64_t num_pairs, double share, double mass) {
    cells[index].set_num_pairs(num_pairs);
    cells[index].set_share(share);
    cells[index].set_gradient_mass_share(mass);
  };
  set(0, 949, 0.4745, 0.4857);
  set(2, 346, 0.173, 0.0997);
  set(6, 123456789, 0.059, 0.1);
  set(8, 547, 0.2735, 0.2929);
  const std::string text = AnalysisSummary(report);
  EXPECT_THAT(text, Not(HasSubstr("reference tie")));
  EXPECT_THAT(text, Not(HasSubstr("\ntie ")));
  // gamma >> 0 teaches what the reference has right, gamma = 0 what the policy has wrong; * is the diagonal.
  EXPECT_THAT(LineOf(text, "right "), ContainsRegex("949 +47.[45]% +48.6% +\\+-\\* +346 +17.3% +10.0% +--"));
  EXPECT_THAT(LineOf(text, "wrong "), ContainsRegex("123M +5.9% +10.0% +\\+\\+ +547 +27.[34]% +29.3% +-\\+\\*"));

  set(1, 4, 0.002, 0);
  EXPECT_THAT(AnalysisSummary(report), HasSubstr("reference tie"));
  EXPECT_THAT(AnalysisSummary(report), Not(HasSubstr("\ntie ")));
  set(5, 4, 0.002, 0);
  EXPECT_THAT(AnalysisSummary(report), HasSubstr("\ntie "));
  EXPECT_LE(WidestOf(AnalysisSummary(report)), 100);
}

TEST(AnalysisSummaryTest, OneTableAndALinePerObjective) {
  const std::string text = AnalysisSummary(SampleReport({.num_objectives = 3}));
  EXPECT_THAT(text, HasSubstr("Learning table of sigmoid:beta=0.1\n"));
  EXPECT_NE(LineOf(text, "margin_hinge:beta=0.1,gamma=0.05 "), "");
  EXPECT_NE(LineOf(text, "sigmoid:beta=0.2 "), "");
}

TEST(AnalysisSummaryTest, LargestSlicesFirstAndTheRestCounted) {
  const v1::AnalysisReport report = SampleReport({.num_objectives = 1, .num_categories = 300});
  const std::string text = AnalysisSummary(report);
  EXPECT_LT(text.find("length=short"), text.find("length=long"));
  const std::size_t num_slices = report.slices_size() - 1;
  const auto lines = LinesOf(text);
  const std::size_t num_shown = std::count_if(lines.begin(), lines.end(), [](const auto& line) {
    return line.starts_with("category=") || line.starts_with("length=");
  });
  EXPECT_GE(num_shown, 3);
  EXPECT_THAT(text, HasSubstr("and " + std::to_string(num_slices - num_shown) + " more in the reports\n"));
}

TEST(AnalysisSummaryTest, GroupOfFurtherValues) {
  v1::AnalysisReport report = SampleReport({.num_objectives = 1, .num_categories = 1});
  report.mutable_slices(1)->set_label_value("");
  report.mutable_slices(1)->set_num_grouped_values(12);
  EXPECT_THAT(AnalysisSummary(report), HasSubstr("category=(12 further values)"));
}

TEST(AnalysisSummaryTest, WithoutReference) {
  const std::string text = AnalysisSummary(SampleReport({.has_reference = false, .num_objectives = 1}));
  EXPECT_THAT(text, HasSubstr("2,000 pairs, none of them with a reference"));
  EXPECT_THAT(text, Not(HasSubstr("displacement")));
  EXPECT_THAT(text, Not(HasSubstr("Learning table")));
  EXPECT_THAT(text, Not(HasSubstr("h0")));
}

TEST(AnalysisSummaryTest, EmptyReportSaysSo) {
  EXPECT_EQ(AnalysisSummary(v1::AnalysisReport()), "0 pairs\nThe report is empty.\n");
  EXPECT_THAT(AnalysisSummary(SampleReport({.num_pairs = 0})), HasSubstr("7 more faulty"));
  EXPECT_THAT(AnalysisSummary(SampleReport({.num_pairs = 0})), HasSubstr("The report is empty."));
}

TEST(AnalysisSummaryTest, ControlCharactersDoNotReachTheTerminal) {
  v1::AnalysisReport report = SampleReport({.num_objectives = 1, .num_categories = 1});
  const std::string hostile =
      "a\x1b[2Jb\r\n\x7f\xc2\x9b"
      "c";
  report.mutable_faulty_pairs(0)->set_id(hostile);
  report.mutable_slices(1)->set_label_value(hostile);
  report.mutable_slices(0)->mutable_objectives(0)->set_label(hostile);
  const std::string text = AnalysisSummary(report);
  for (const char byte : text) {
    if (byte != '\n') {
      EXPECT_GE(static_cast<unsigned char>(byte), 0x20);
    }
  }
  EXPECT_THAT(text, Not(HasSubstr("\x7f")));
  EXPECT_THAT(text, Not(HasSubstr("\xc2\x9b")));
  EXPECT_THAT(text, HasSubstr("category=a [2Jb"));
}

}  // namespace
}  // namespace prefscore::cli
