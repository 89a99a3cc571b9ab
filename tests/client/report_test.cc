// SPDX-License-Identifier: Apache-2.0
// What a run tells people: summary, table, progress line.
#include <map>
#include <string>

#include "client/cli/pair_table.h"
#include "client/cli/progress.h"
#include "client/cli/summary.h"
#include "gmock/gmock.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace prefscore::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::PairResult Scored(const std::string& id, double h, double h0) {
  v1::PairResult result;
  result.set_id(id);
  result.set_policy_chosen_logp(h - 10);
  result.set_policy_rejected_logp(-10);
  result.set_policy_margin(h);
  result.set_reference_margin(h0);
  for (const double gamma : {0.5, 0.0}) {
    v1::ObjectiveResult& objective = *result.add_objectives();
    objective.set_name("sigmoid");
    objective.set_beta(0.5);
    objective.set_gamma(gamma);
    objective.set_chosen_reward(0.5 * h - gamma * h0);
    objective.set_rejected_reward(0);
    objective.set_loss(h * h);
  }
  return result;
}

v1::PairResult Failed(const std::string& id) {
  v1::PairResult result;
  result.set_id(id);
  result.mutable_status()->set_code(3);
  result.mutable_status()->set_message("pair.chosen: is\nempty");
  return result;
}

TEST(SummaryTest, MeansOverScoredRowsWithTrlsNames) {
  Summary summary;
  summary.Add(Scored("a", 1, 2));  // rewards 0.5*1 - 0.5*2 = -0.5; with gamma 0: 0.5
  summary.Add(Failed("b"));
  summary.Add(Scored("c", 3, 1));  // 1; 1.5
  summary.Add(Scored("d", 2, 2));  // 0, a tie: not accurate; 1
  EXPECT_EQ(summary.num_scored(), 3);
  EXPECT_EQ(summary.num_failed(), 1);
  const auto objectives = summary.Objectives();
  ASSERT_EQ(objectives.size(), 2);
  EXPECT_EQ(objectives[0].name, "sigmoid:beta=0.5,gamma=0.5");
  const std::map<std::string, double> means(objectives[0].means.begin(), objectives[0].means.end());
  const std::map<std::string, double> expected = {{"loss", 14.0 / 3},
                                                  {"rewards/chosen", 0.5 / 3},
                                                  {"rewards/rejected", 0},
                                                  {"rewards/accuracies", 1.0 / 3},
                                                  {"rewards/margins", 0.5 / 3}};
  EXPECT_EQ(means, expected);
  EXPECT_EQ(objectives[1].means[3], std::make_pair(std::string("rewards/accuracies"), 1.0));
  EXPECT_EQ(summary.MeanChosenLogProb(), -8);
  EXPECT_EQ(summary.MeanRejectedLogProb(), -10);
  EXPECT_THAT(summary.Text(), HasSubstr("logps/chosen                           -8.000000\n"));
  EXPECT_THAT(summary.Text(), HasSubstr("4.666667"));
}

TEST(SummaryTest, NothingScoredSaysNothing) {
  Summary summary;
  summary.Add(Failed("a"));
  EXPECT_EQ(summary.Text(), "");
}

TEST(PairTableTest, ShowsTheLearningCellOfTheFirstRows) {
  PairTable table(3);
  table.Add(Scored("première", 1.5, -2));
  table.Add(Failed("b"));
  table.Add(Scored("", -1, 0));
  table.Add(Scored("beyond", 1, 1));
  const std::string text = table.Text();
  EXPECT_EQ(text,
            "id             h      h0    loss  reward margin  prompt  chosen  rejected  policy  reference\n"
            "première   1.500  -2.000  2.2500         1.7500       0       0         0   right      wrong\n"
            "b         failed: pair.chosen: is empty\n"
            "#0        -1.000   0.000  1.0000        -0.5000       0       0         0   wrong        tie\n");
}

TEST(ProgressTest, RateAndEtaCountOnlyThisRunsRows) {
  const ProgressCounts counts{.num_done = 60, .num_kept = 20, .num_failed = 3};
  const std::string text = FormatProgress(counts, 120, absl::Seconds(8));
  EXPECT_THAT(text, HasSubstr("] 60/120  5.0 rows/s  ETA 0:12  3 failed"));
  EXPECT_THAT(text, HasSubstr("[===============               ]"));
}

TEST(ProgressTest, AnUnknownTotalHasNoEta) {
  const std::string text = FormatProgress({.num_done = 10}, std::nullopt, absl::Seconds(2));
  EXPECT_EQ(text, "10 rows  5.0 rows/s");
  EXPECT_THAT(FormatProgress({}, 10, absl::ZeroDuration()), Not(HasSubstr("ETA")));
}

TEST(ProgressTest, LongRunsShowHours) {
  EXPECT_THAT(FormatProgress({.num_done = 1}, 3662, absl::Seconds(1)), HasSubstr("ETA 1:01:01"));
}

}  // namespace
}  // namespace prefscore::cli
