// SPDX-License-Identifier: Apache-2.0
// Whole reports: against plain arithmetic (naive_report.h), and to the last bit in any order, chunking and merging.
#include <memory>

#include "gtest/gtest.h"
#include "server/diagnostics/analyzer.h"
#include "tests/diagnostics/flat_report.h"
#include "tests/diagnostics/naive_report.h"
#include "tests/diagnostics/random_pairs.h"

namespace prefscore {
namespace {

Objective Make(const ObjectiveRequest& request) { return *Objective::Create(request); }

ObjectiveRequest Named(const std::string& name, double beta, double gamma) {
  return {.name = name, .parameters = {{"beta", beta}, {"gamma", gamma}}};
}

AnalysisOptions WithReference() {
  AnalysisOptions options;
  options.objectives = {
      Make(Named("sigmoid", 0.1, 0.05)),
      Make(Named("margin_hinge", 1, 2)),
      Make({.name = "weighted_sum", .terms = {{0.7, Named("sigmoid", 0.1, 0.1)}, {0.3, Named("ipo_sum", 0.1, 0.1)}}}),
      Make({.name = "sft_sum"}),
  };
  options.sweep_betas = {0.01, 0.5};
  options.sweep_gamma_over_betas = {0, 1, 50};
  options.temper_exponents = {0.5, 3};
  options.max_slices = 4;
  options.num_listed_pairs = 7;
  return options;
}

AnalysisOptions With(const std::vector<std::string>& names) {
  AnalysisOptions options = WithReference();
  options.objectives.clear();
  for (const std::string& name : names) options.objectives.push_back(Make({.name = name}));
  return options;
}

AnalysisReport Analyze(const Pairs& pairs, const AnalysisOptions& options) {
  Analyzer analyzer(options);
  for (const AnalyzedPair& pair : pairs) EXPECT_TRUE(analyzer.Add(pair).ok());
  return analyzer.MakeReport();
}

// Spread over analyzers in random order, some of which report in between, and merged in random order.
AnalysisReport AnalyzeInPieces(Pairs pairs, const AnalysisOptions& options, std::mt19937_64& random) {
  std::shuffle(pairs.begin(), pairs.end(), random);
  std::vector<Analyzer> analyzers;
  for (std::size_t i = 0; i < 1 + random() % 4; ++i) analyzers.emplace_back(options);
  for (const AnalyzedPair& pair : pairs) {
    Analyzer& analyzer = analyzers[random() % analyzers.size()];
    EXPECT_TRUE(analyzer.Add(pair).ok());
    if (random() % 2000 == 0) analyzer.MakeReport();
  }
  std::shuffle(analyzers.begin(), analyzers.end(), random);
  Analyzer total(options);
  for (Analyzer& analyzer : analyzers) EXPECT_TRUE(total.Merge(std::move(analyzer)).ok());
  return total.MakeReport();
}

struct Case {
  AnalysisOptions options;
  RandomPairOptions pairs;
};

std::vector<Case> Cases() {
  return {
      {WithReference(), {.num_pairs = 3000}},
      {WithReference(), {.num_pairs = 700, .spacing = 0x1p-30, .always_lengths = false, .num_label_values = 200}},
      {WithReference(), {.num_pairs = 1, .num_label_values = 0}},
      {WithReference(), {.num_pairs = 2}},
      {With({"slic_hf", "sft_sum"}), {.num_pairs = 1500, .always_reference = false, .always_lengths = false}},
      {With({"simpo", "cpo", "orpo"}), {.num_pairs = 1100, .always_reference = false}},
      {With({"ipo", "dpop", "rpo"}), {.num_pairs = 1100}},
      {With({"sft_sum"}),
       {.num_pairs = 20, .always_reference = false, .always_lengths = false, .num_label_values = 30}},
  };
}

TEST(AnalyzerProperty, ReportsWhatPlainArithmeticDoes) {
  std::mt19937_64 random(1);
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.pairs.num_pairs);
    const Pairs pairs = RandomPairs(c.pairs, random);
    const AnalysisReport report = Analyze(pairs, c.options);
    // Sums of this many doubles in long double, against exact ones.
    EXPECT_TRUE(AreClose(report, NaiveReport(pairs, c.options), 1e-12));
    EXPECT_TRUE(IsFinite(report));
  }
}

TEST(AnalyzerProperty, ReportsTheSameBitsInAnyOrderChunkingAndMerging) {
  std::mt19937_64 random(2);
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.pairs.num_pairs);
    const Pairs pairs = RandomPairs(c.pairs, random);
    const AnalysisReport report = Analyze(pairs, c.options);
    for (int round = 0; round < 5; ++round) EXPECT_TRUE(AreTheSame(AnalyzeInPieces(pairs, c.options, random), report));
  }
}

TEST(AnalyzerProperty, ReportsTheSameBitsBeyondTheExactQuantiles) {
  std::mt19937_64 random(3);
  AnalysisOptions options;
  options.sweep_betas = {0.1};
  options.sweep_gamma_over_betas = {1};
  options.max_slices = 3;
  const Pairs pairs = RandomPairs({.num_pairs = 70000, .spacing = 0x1p-40, .num_label_values = 5}, random);
  const AnalysisReport report = Analyze(pairs, options);
  EXPECT_GT(report.slices[0].distributions[0].quantile_relative_error, 0);
  EXPECT_TRUE(IsFinite(report));
  for (int round = 0; round < 3; ++round) EXPECT_TRUE(AreTheSame(AnalyzeInPieces(pairs, options, random), report));
}

TEST(AnalyzerProperty, SlicesWithEvictionAreTheSameInTheWorstOrders) {
  std::mt19937_64 random(4);
  AnalysisOptions options;
  options.max_slices = 5;
  Pairs pairs = RandomPairs({.num_pairs = 4000, .num_label_values = 300}, random);
  const AnalysisReport report = Analyze(pairs, options);
  const auto by_value = [](const AnalyzedPair& x, const AnalyzedPair& y) { return x.labels < y.labels; };
  std::sort(pairs.begin(), pairs.end(), by_value);
  EXPECT_TRUE(AreTheSame(Analyze(pairs, options), report));
  std::reverse(pairs.begin(), pairs.end());
  EXPECT_TRUE(AreTheSame(Analyze(pairs, options), report));
}

// Numbers up to the limits: nothing overflows into the report.
TEST(AnalyzerProperty, StaysFiniteAtTheLimits) {
  std::mt19937_64 random(5);
  AnalysisOptions options = WithReference();
  options.sweep_betas = {1e-300, 1e-3, 1e300};
  options.sweep_gamma_over_betas = {0, 1e-5, 1e7};
  Pairs pairs;
  for (int i = 0; i < 2000; ++i) {
    const auto logp = [&] {
      return random() % 5 == 0 ? 0.0 : -std::pow(10.0, static_cast<double>(random() % 451) - 300);
    };
    pairs.push_back({.id = std::to_string(i), .inputs = {.logps = {logp(), logp(), logp(), logp()}}, .labels = {}});
  }
  const AnalysisReport report = Analyze(pairs, options);
  EXPECT_EQ(report.num_pairs, 2000u);
  EXPECT_TRUE(IsFinite(report));
  EXPECT_LT(report.slices[0].objectives[2].num_pairs, 2000u);  // ipo_sum squares
  for (int round = 0; round < 3; ++round) EXPECT_TRUE(AreTheSame(AnalyzeInPieces(pairs, options, random), report));
}

}  // namespace
}  // namespace prefscore
