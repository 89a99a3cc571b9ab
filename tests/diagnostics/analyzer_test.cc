// SPDX-License-Identifier: Apache-2.0
// What an analyzer takes and refuses, and what follows where something is missing, tempered, labelled or too large.
#include "server/diagnostics/analyzer.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/field_error.h"
#include "tests/diagnostics/five_pairs.h"
#include "tests/diagnostics/flat_report.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr double kTolerance = 1e-14;

TEST(Analyzer, HasNoLengthReportWithoutLengths) {
  EXPECT_FALSE(Analyze({MakePair("", {-1, -2, -3, -4}, 5)}, {}).slices[0].length.has_value());
}

TEST(Analyzer, OfNothingIsAllZeros) {
  const AnalysisReport report = Analyze({}, FivePairOptions());
  ASSERT_EQ(report.slices.size(), 1u);
  EXPECT_TRUE(IsFinite(report));
  EXPECT_TRUE(report.slices[0].objectives.at(0).learning_table.empty());
  for (const auto& [path, value] : Flatten(report).numbers) {
    const bool is_option = path.find("beta") != std::string::npos || path.find("gamma") != std::string::npos ||
                           path.find("probability") != std::string::npos ||
                           path.find("exponent") != std::string::npos || path.find("size") != std::string::npos ||
                           path.find("has_flip") != std::string::npos;
    EXPECT_TRUE(is_option || value == 0) << path;
  }
}

TEST(Analyzer, WithoutReferenceSaysNothingAboutIt) {
  AnalysisOptions options;
  options.objectives = {Make("simpo"), Make("sft_sum")};
  options.sweep_betas = {1, 2};
  options.sweep_gamma_over_betas = {0};
  const SliceReport slice =
      Analyze({MakePair("x", {-1, -2, kUnknown, kUnknown}, 1, 1), MakePair("y", {-3, -3, kUnknown, -1}, 1, 1)}, options)
          .slices.at(0);
  EXPECT_EQ(slice.num_pairs, 2u);
  EXPECT_EQ(slice.num_pairs_with_reference, 0u);
  EXPECT_EQ(slice.ranking.policy_accuracy, 0.5);
  EXPECT_EQ(slice.ranking.reference_accuracy, 0);
  EXPECT_THAT(slice.ties, ElementsAre(Field(&ListedPair::reference_margin, std::nullopt)));
  const ObjectiveReport& simpo = slice.objectives.at(0);
  EXPECT_EQ(simpo.num_pairs, 2u);
  EXPECT_TRUE(simpo.learning_table.empty());
  EXPECT_TRUE(simpo.temper.empty());
  EXPECT_FALSE(simpo.flip.has_value());
  ASSERT_EQ(simpo.sweep.size(), 2u);
  EXPECT_TRUE(simpo.sweep[0].gradient_mass_by_cell.empty());
  EXPECT_GT(simpo.sweep[0].gradient_mass, 0);
  EXPECT_TRUE(slice.objectives.at(1).sweep.empty());  // sft_sum has neither beta nor gamma
}

TEST(Analyzer, CountsOnlyPairsWithReferenceWhereItIsAboutTheReference) {
  AnalysisOptions options;
  options.objectives = {Make("simpo")};
  options.sweep_betas = {1};
  options.sweep_gamma_over_betas = {0};
  const SliceReport slice =
      Analyze({MakePair("x", {-1, -2, kUnknown, kUnknown}, 1, 1), MakePair("y", {-3, -2, -2, -1}, 1, 1)}, options)
          .slices.at(0);
  EXPECT_EQ(slice.num_pairs_with_reference, 1u);
  EXPECT_EQ(slice.ranking.pessimistic_share, 1);
  EXPECT_EQ(slice.length->reference_accuracy_per_token, 0);
  const ObjectiveReport& simpo = slice.objectives.at(0);
  EXPECT_EQ(simpo.num_pairs, 2u);
  EXPECT_EQ(simpo.learning_table.at(8).num_pairs, 1u);
  EXPECT_EQ(simpo.learning_table.at(8).share, 1);
  EXPECT_LT(simpo.learning_table.at(8).gradient_mass_share, 1);
  EXPECT_EQ(simpo.sweep.at(0).gradient_mass_by_cell.at(8), simpo.sweep[0].gradient_mass_by_cell[8]);
}

TEST(Analyzer, LargeAndZeroGammaTeachWhatThePostSays) {
  // All four quadrants, margins of 10.
  std::vector<AnalyzedPair> pairs;
  for (const double h : {10, -10}) {
    for (const double h0 : {10, -10}) pairs.push_back(MakePair("", {-20 + h, -20, -20 + h0, -20}));
  }
  AnalysisOptions options;
  options.objectives = {Make("sigmoid", 1, 100), Make("sigmoid", 1, 0)};
  const SliceReport slice = Analyze(pairs, options).slices.at(0);
  for (const int objective : {0, 1}) {
    for (const int cell : {0, 2, 6, 8}) {
      const LearningCell& measured = slice.objectives.at(objective).learning_table.at(cell);
      const Verdict verdict = objective == 0 ? measured.verdict_large_gamma : measured.verdict_zero_gamma;
      EXPECT_EQ(measured.num_pairs, 1u);
      EXPECT_EQ(measured.learning_share, verdict == Verdict::kLearning ? 1 : 0) << objective << ", cell " << cell;
    }
  }
}

// A reference tempered by e, at gamma / e, gives the losses of the untempered one; left alone, those at gamma * e.
TEST(Analyzer, TemperingIsUndoneByTheUnchangedGamma) {
  AnalysisOptions options;
  const double exponent = 2.5;
  options.objectives = {Make("sigmoid", 0.2, 0.3)};
  options.temper_exponents = {exponent};
  std::vector<AnalyzedPair> pairs = FivePairs();
  const ObjectiveReport untempered = Analyze(pairs, options).slices.at(0).objectives.at(0);
  for (AnalyzedPair& pair : pairs) {
    pair.inputs.logps.reference_chosen_logp *= exponent;
    pair.inputs.logps.reference_rejected_logp *= exponent;
  }
  const ObjectiveReport left_alone = Analyze(pairs, options).slices.at(0).objectives.at(0);
  EXPECT_NEAR(left_alone.mean_loss, untempered.temper.at(0).if_left_alone.mean_loss, kTolerance);
  EXPECT_NEAR(left_alone.gradient_mass, untempered.temper.at(0).if_left_alone.gradient_mass, kTolerance);
  options.objectives = {Make("sigmoid", 0.2, untempered.temper.at(0).unchanged_gamma)};
  EXPECT_NEAR(Analyze(pairs, options).slices.at(0).objectives.at(0).mean_loss, untempered.mean_loss, kTolerance);
}

TEST(Analyzer, TempersEachTermOfASumAtItsOwnGamma) {
  AnalysisOptions options;
  const ObjectiveRequest first = {.name = "sigmoid", .parameters = {{"beta", 0.2}, {"gamma", 0.3}}};
  const ObjectiveRequest second = {.name = "hinge", .parameters = {{"beta", 1.0}, {"gamma", 0.7}}};
  options.objectives = {*Objective::Create({.name = "weighted_sum", .terms = {{0.4, first}, {0.6, second}}})};
  options.temper_exponents = {1, 2};
  std::vector<AnalyzedPair> pairs = FivePairs();
  const ObjectiveReport report = Analyze(pairs, options).slices.at(0).objectives.at(0);
  EXPECT_EQ(report.name, "weighted_sum");
  EXPECT_EQ(report.gamma, 0.3);
  EXPECT_NEAR(report.temper.at(0).if_left_alone.mean_loss, report.mean_loss, kTolerance);
  EXPECT_NEAR(report.temper.at(0).if_left_alone.gradient_mass, report.gradient_mass, kTolerance);
  for (AnalyzedPair& pair : pairs) {
    pair.inputs.logps.reference_chosen_logp *= 2;
    pair.inputs.logps.reference_rejected_logp *= 2;
  }
  EXPECT_NEAR(Analyze(pairs, options).slices.at(0).objectives.at(0).mean_loss,
              report.temper.at(1).if_left_alone.mean_loss, kTolerance);
  EXPECT_EQ(report.temper.at(1).if_left_alone.gamma, 0.6);
}

TEST(Analyzer, SlicesByLabels) {
  AnalysisOptions options = FivePairOptions();
  options.max_slices = 2;
  std::vector<AnalyzedPair> pairs = FivePairs();
  pairs[0].labels = {{"source", "d"}, {"category", "code"}};
  pairs[1].labels = {{"source", "b"}};
  pairs[2].labels = {{"source", "a"}};
  pairs[3].labels = {{"source", "c"}};
  pairs[4].labels = {{"source", "a"}};
  const AnalysisReport report = Analyze(pairs, options);
  std::vector<std::string> slices;
  for (const SliceReport& slice : report.slices) {
    slices.push_back(slice.label_name + "=" + slice.label_value + " " + std::to_string(slice.num_grouped_values) + " " +
                     std::to_string(slice.num_pairs));
  }
  EXPECT_THAT(slices, ElementsAre("= 0 5", "category=code 0 1", "source=a 0 2", "source=b 0 1", "source= 2 2"));
  EXPECT_EQ(report.slices[4].most_negative_margins.at(0).id, "p4");  // of c and d
}

TEST(Analyzer, RefusesFaultyPairs) {
  const auto fault = [](const AnalyzedPair& pair) {
    Analyzer analyzer{AnalysisOptions()};
    const absl::Status status = analyzer.Add(pair);
    EXPECT_EQ(analyzer.MakeReport().num_faulty_pairs, status.ok() ? 0u : 1u);
    EXPECT_EQ(analyzer.MakeReport().num_pairs, status.ok() ? 1u : 0u);
    return status;
  };
  EXPECT_TRUE(fault(MakePair("", {-1, -2, -3, -4})).ok());
  EXPECT_EQ(FieldOf(fault(MakePair("", {1, -2, -3, -4}))), "logps.policy_chosen_logp");
  EXPECT_EQ(FieldOf(fault(MakePair("", {-1, std::nan(""), -3, -4}))), "logps.policy_rejected_logp");
  EXPECT_EQ(FieldOf(fault(MakePair("", {-1, -2, -INFINITY, -4}))), "logps.reference_chosen_logp");
  EXPECT_EQ(FieldOf(fault(MakePair("", {-1, -2, -3, kUnknown}))), "logps.reference_rejected_logp");
  EXPECT_EQ(FieldOf(fault(MakePair("", {-1, -2e150, -3, -4}))), "logps.policy_rejected_logp");
  EXPECT_EQ(FieldOf(fault(MakePair("", {-1, -2, -3, -4}, 0))), "num_chosen_tokens");
  EXPECT_EQ(FieldOf(fault(MakePair("", {-1, -2, -3, -4}, 1, INFINITY))), "num_rejected_tokens");
  AnalyzedPair pair = MakePair("", {-1, -2, -3, -4});
  pair.labels = {{"", "x"}};
  EXPECT_EQ(FieldOf(fault(pair)), "labels");
  pair.labels = {{"a", "x"}, {"a", "y"}};
  EXPECT_EQ(FieldOf(fault(pair)), "labels");
  pair.labels.clear();
  for (int i = 0; i < 9; ++i) pair.labels.emplace_back(std::to_string(i), "x");
  EXPECT_THAT(std::string(fault(pair).message()), HasSubstr("9; the limit is 8"));
}

TEST(Analyzer, ChecksWhatEachObjectiveNeeds) {
  AnalysisOptions options;
  for (const char* name : {"ld_dpo", "odpo", "simpo", "sft"}) {
    options.objectives = {Make(name)};
    Analyzer analyzer(options);
    AnalyzedPair pair = MakePair("", {-1, -2, -3, -4});
    EXPECT_FALSE(analyzer.Add(pair).ok()) << name;
    pair.inputs.num_chosen_tokens = pair.inputs.num_rejected_tokens = 3;
    pair.inputs.score_gap = 0.5;
    pair.inputs.head_logps = {-1, -2, -3, -4};
    EXPECT_TRUE(analyzer.Add(pair).ok()) << name;
    EXPECT_EQ(analyzer.MakeReport().slices.at(0).objectives.at(0).num_pairs, 1u) << name;
  }
}

TEST(Analyzer, SkipsAndListsFaultyPairsWhereAsked) {
  AnalysisOptions options;
  options.skip_faulty_pairs = true;
  options.num_listed_pairs = 3;
  Analyzer analyzer(options);
  EXPECT_TRUE(analyzer.Add(MakePair("d", {1, -2, -3, -4})).ok());
  EXPECT_TRUE(analyzer.Add(MakePair("b", {-1, -2, -3, -INFINITY})).ok());
  EXPECT_TRUE(analyzer.Add(MakePair("a", {-1, -2, kUnknown, kUnknown})).ok());
  EXPECT_TRUE(analyzer.Add(MakePair("z", {-1, -2, -3, -4})).ok());
  analyzer.AddFaulty("c", "prompt: is empty", false);
  const AnalysisReport report = analyzer.MakeReport();
  EXPECT_EQ(report.num_pairs, 1u);
  EXPECT_EQ(report.num_faulty_pairs, 4u);
  EXPECT_EQ(report.num_non_finite_pairs, 1u);
  ASSERT_EQ(report.faulty_pairs.size(), 3u);
  EXPECT_EQ(report.faulty_pairs[0].id, "a");
  EXPECT_THAT(report.faulty_pairs[0].message, HasSubstr("logps.reference_chosen_logp: is not known"));
  EXPECT_EQ(report.faulty_pairs[2].id, "c");
  EXPECT_EQ(report.faulty_pairs[2].message, "prompt: is empty");
}

TEST(Analyzer, EndsWithMoreLabelNamesThanThereMayBe) {
  AnalysisOptions options;
  options.skip_faulty_pairs = true;
  const auto labelled = [](const std::string& name) {
    AnalyzedPair pair = MakePair("", {-1, -2, -3, -4});
    pair.labels = {{name, "value"}};
    return pair;
  };
  Analyzer analyzer(options), other(options);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(analyzer.Add(labelled(std::to_string(i))).ok());
  const absl::Status status = analyzer.Add(labelled("ninth"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(FieldOf(status), "labels");
  EXPECT_THAT(std::string(status.message()), HasSubstr("'ninth'"));
  EXPECT_TRUE(other.Add(labelled("ninth")).ok());
  EXPECT_EQ(analyzer.Merge(std::move(other)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Analyzer, LeavesOutPairsThatAnObjectiveOverflowsOn) {
  AnalysisOptions options;
  options.objectives = {Make("sigmoid"), Make("ipo_sum")};
  options.sweep_betas = {0.1};
  options.sweep_gamma_over_betas = {1};
  const AnalysisReport report =
      Analyze({MakePair("x", {-1e140, -2, -3, -4}), MakePair("y", {-1, -3, -3, -4})}, options);
  EXPECT_EQ(report.slices.at(0).num_pairs, 2u);
  EXPECT_EQ(report.slices.at(0).objectives.at(0).num_pairs, 2u);
  EXPECT_EQ(report.slices.at(0).objectives.at(1).num_pairs, 1u);
  EXPECT_EQ(report.slices.at(0).objectives.at(1).sweep.at(0).accuracy, 1.0);
  EXPECT_TRUE(IsFinite(report));
}

}  // namespace
}  // namespace prefscore
