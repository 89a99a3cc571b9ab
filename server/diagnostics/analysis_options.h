// SPDX-License-Identifier: Apache-2.0
// What an Analyzer is asked for. Fields, limits and defaults are those of AnalysisOptions in
// proto/prefscore/v1/diagnostics.proto.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "server/objectives/objective.h"

namespace prefscore {

// sigmoid with beta = gamma = 0.1.
std::vector<Objective> DefaultObjectives();

struct AnalysisOptions {
  std::vector<Objective> objectives = DefaultObjectives();
  // Both empty: no sweep.
  std::vector<double> sweep_betas = {0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5};
  std::vector<double> sweep_gamma_over_betas = {0, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 100};
  std::vector<double> temper_exponents = {0.25, 0.5, 1, 2, 4};
  double learning_threshold = 0.05;
  double saturation_threshold = 0.01;
  std::size_t max_slices = 64;
  std::size_t num_listed_pairs = 10;
  std::vector<double> preference_probabilities = {0.6, 0.75, 0.9, 0.95, 0.99};
  bool skip_faulty_pairs = false;
};

// A FieldError that names the field as the proto does ("sweep.betas[3]", "scoring.objectives[0]"), value and limit.
absl::Status Validate(const AnalysisOptions& options);

}  // namespace prefscore
