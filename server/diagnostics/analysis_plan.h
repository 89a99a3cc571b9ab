// SPDX-License-Identifier: Apache-2.0
// What follows from the options and is the same for all pairs and slices: objectives at all points, thresholds as
// logits. Immutable.
#pragma once

#include <utility>
#include <vector>

#include "server/diagnostics/analysis_options.h"
#include "server/diagnostics/kernels/kernels.h"
#include "server/objectives/objective.h"

namespace prefscore {

// An objective at some weights, as a sum of terms that are none themselves.
struct PlannedPoint {
  double beta = 0;
  double gamma = 0;
  std::vector<std::pair<double, Objective>> terms = {};  // with their factors; at least one
};

struct PlannedTemper {
  double exponent = 0;
  PlannedPoint point = {};  // each term at its gamma * exponent
};

struct PlannedObjective {
  Objective objective;
  bool has_gamma = false;                  // of a sum: its first term does, whose gamma is the sum's
  std::vector<PlannedPoint> sweep = {};    // empty where the objective has neither beta nor gamma
  std::vector<double> sweep_ratios = {};   // gamma / beta, [sweep.size()]
  std::vector<PlannedTemper> temper = {};  // empty where it has no gamma
};

struct AnalysisPlan {
  explicit AnalysisPlan(AnalysisOptions options);

  AnalysisOptions options;
  std::vector<PlannedObjective> objectives;
  LogitThresholds thresholds;
  std::vector<double> preference_logits;  // logit(p) of each preference probability
  unsigned needs = 0;                     // of any objective
  std::size_t num_columns = 0;            // of PairColumn, from the first, that are kept of a pair
};

}  // namespace prefscore
