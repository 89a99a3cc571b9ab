// SPDX-License-Identifier: Apache-2.0
// Five pairs that can be looked at by hand: of every kind but a tie of the reference.
#pragma once

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "server/diagnostics/analyzer.h"

namespace prefscore {

inline Objective Make(const std::string& name, double beta, double gamma) {
  return *Objective::Create({.name = name, .parameters = {{"beta", beta}, {"gamma", gamma}}});
}

inline Objective Make(const std::string& name) { return *Objective::Create({.name = name}); }

inline AnalyzedPair MakePair(const std::string& id, const PairLogProbs& logps, double num_chosen = kUnknown,
                             double num_rejected = kUnknown) {
  return {.id = id,
          .inputs = {.logps = logps, .num_chosen_tokens = num_chosen, .num_rejected_tokens = num_rejected},
          .labels = {}};
}

// The five pairs: h = 2, -3, 2, -2, 0 and h0 = 2, 3, -2, -3, 1.
inline std::vector<AnalyzedPair> FivePairs() {
  return {
      MakePair("p1", {-1, -3, -2, -4}, 2, 3), MakePair("p2", {-5, -2, -1, -4}, 5, 4),
      MakePair("p3", {-2, -4, -3, -1}, 1, 1), MakePair("p4", {-6, -4, -5, -2}, 3, 2),
      MakePair("p5", {-3, -3, -1, -2}),
  };
}

inline AnalysisOptions FivePairOptions() {
  AnalysisOptions options;
  options.objectives = {Make("sigmoid", 1, 0.5)};
  options.sweep_betas = {2};
  options.sweep_gamma_over_betas = {0, 3};
  options.temper_exponents = {2};
  options.learning_threshold = 0.3;     // z < 0.847
  options.saturation_threshold = 0.05;  // z > 2.944
  options.num_listed_pairs = 2;
  options.preference_probabilities = {0.75, 0.9};  // logits 1.099, 2.197
  return options;
}

inline AnalysisReport Analyze(const std::vector<AnalyzedPair>& pairs, const AnalysisOptions& options) {
  Analyzer analyzer(options);
  for (const AnalyzedPair& pair : pairs) EXPECT_TRUE(analyzer.Add(pair).ok());
  return analyzer.MakeReport();
}

}  // namespace prefscore
