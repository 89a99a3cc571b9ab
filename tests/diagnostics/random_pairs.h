// SPDX-License-Identifier: Apache-2.0
// Pairs for property tests: log-probs on a grid, so that ties are frequent, labels with many values, ids that repeat.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "server/diagnostics/analyzer.h"

namespace prefscore {

struct RandomPairOptions {
  std::size_t num_pairs = 100;
  double spacing = 0.25;  // of the grid
  bool always_reference = true;
  bool always_lengths = true;
  std::size_t num_label_values = 6;  // 0: no labels
};

inline std::vector<AnalyzedPair> RandomPairs(const RandomPairOptions& options, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  const auto logp = [&](double scale) {
    return std::min(0.0,
                    -std::fabs(std::round((scale + scale / 4 * normal(random)) / options.spacing)) * options.spacing);
  };
  std::vector<AnalyzedPair> pairs(options.num_pairs);
  for (AnalyzedPair& pair : pairs) {
    pair.id = "pair-" + std::to_string(random() % (2 * options.num_pairs));
    const double scale = std::exp2(static_cast<double>(random() % 8));
    pair.inputs.logps = {logp(scale), logp(scale), logp(scale), logp(scale)};
    if (random() % 50 == 0) pair.inputs.logps.policy_rejected_logp = pair.inputs.logps.policy_chosen_logp;
    if (random() % 50 == 0) pair.inputs.logps.reference_rejected_logp = pair.inputs.logps.reference_chosen_logp;
    if (random() % 100 == 0) pair.inputs.logps.policy_chosen_logp = -0.0;
    if (!options.always_reference && random() % 4 == 0) {
      pair.inputs.logps.reference_chosen_logp = kUnknown;
      if (random() % 2 == 0) pair.inputs.logps.reference_rejected_logp = kUnknown;
    }
    pair.inputs.num_chosen_tokens = static_cast<double>(1 + random() % 40);
    pair.inputs.num_rejected_tokens = static_cast<double>(1 + random() % 40);
    if (!options.always_lengths && random() % 4 == 0) pair.inputs.num_chosen_tokens = kUnknown;
    if (!options.always_lengths && random() % 4 == 0) pair.inputs.num_rejected_tokens = kUnknown;
    if (options.num_label_values == 0) continue;
    if (random() % 10 != 0)
      pair.labels.emplace_back("source", "value " + std::to_string(random() % options.num_label_values));
    if (random() % 3 == 0) pair.labels.emplace_back("language", random() % 2 == 0 ? "en" : "");
  }
  return pairs;
}

}  // namespace prefscore
