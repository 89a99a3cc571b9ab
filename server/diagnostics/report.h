// SPDX-License-Identifier: Apache-2.0
// What an Analyzer reports: plain structs that mirror the messages of proto/prefscore/v1/diagnostics.proto field by
// field. The definitions are in the comments there; only what they leave open is said here. No number is NaN.
//
// "The same sign" counts two ties as the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace prefscore {

struct Quantile {
  double probability = 0;
  double value = 0;
};

struct Histogram {
  double lower = 0;
  double upper = 0;
  std::vector<std::uint64_t> counts = {};  // empty where the distribution is
};

struct Distribution {
  std::string name = {};
  std::string unit = {};
  std::uint64_t count = 0;
  double mean = 0;
  double deviation = 0;
  double minimum = 0;
  double maximum = 0;
  std::vector<Quantile> quantiles = {};  // of an empty distribution all 0
  double quantile_relative_error = 0;
  Histogram histogram = {};
};

struct ListedPair {
  std::string id = {};
  double policy_margin = 0;
  std::optional<double> reference_margin = {};
  double value = 0;
};

struct FaultyPair {
  std::string id = {};
  std::string message = {};
};

struct RankingReport {
  double policy_accuracy = 0;
  double reference_accuracy = 0;
  double pessimistic_share = 0;
  double agreement = 0;
  double both_fell_share = 0;
  double chosen_fell_share = 0;
  double policy_tie_share = 0;
  double reference_tie_share = 0;
};

struct LengthReport {
  std::uint64_t num_pairs = 0;
  double chosen_longer_share = 0;
  double policy_margin_correlation = 0;
  double reference_margin_correlation = 0;
  double policy_accuracy_per_token = 0;
  double reference_accuracy_per_token = 0;
};

enum class Ranking { kRight, kTie, kWrong };

enum class Verdict { kUnspecified, kLearning, kNoLearning };

struct LearningCell {
  Ranking policy = Ranking::kRight;
  Ranking reference = Ranking::kRight;
  std::uint64_t num_pairs = 0;
  double share = 0;
  double mean_loss = 0;
  double mean_logit = 0;
  double gradient_mass = 0;
  double gradient_mass_share = 0;
  double active_share = 0;
  double learning_share = 0;
  Verdict verdict_large_gamma = Verdict::kUnspecified;
  Verdict verdict_zero_gamma = Verdict::kUnspecified;
  bool is_diagonal = false;
  std::uint64_t num_initial_pairs = 0;
};

struct SweepPoint {
  double beta = 0;
  double gamma = 0;
  double gamma_over_beta = 0;
  double mean_loss = 0;
  double accuracy = 0;
  double active_share = 0;
  double learning_share = 0;
  double saturated_share = 0;
  double gradient_mass = 0;
  std::vector<double> gradient_mass_by_cell = {};  // [9]; empty where the learning table is
  double effective_sample_size = 0;
};

struct TemperPoint {
  double exponent = 0;
  double unchanged_gamma = 0;
  SweepPoint if_left_alone = {};
};

struct IdealAccuracy {
  double preference_probability = 0;
  double accuracy = 0;
};

struct FlipReport {
  double below_threshold_share = 0;
  Distribution threshold = {};
  std::vector<IdealAccuracy> ideal_accuracies = {};
};

struct ObjectiveReport {
  std::string label = {};
  std::string name = {};
  double beta = 0;
  double gamma = 0;
  std::uint64_t num_pairs = 0;
  double mean_loss = 0;
  double accuracy = 0;
  double reward_likelihood_agreement = 0;
  double gradient_mass = 0;
  double effective_sample_size = 0;
  double saturated_share = 0;
  std::vector<LearningCell> learning_table = {};
  std::vector<SweepPoint> sweep = {};
  std::vector<TemperPoint> temper = {};
  std::optional<FlipReport> flip = {};
  std::vector<Distribution> distributions = {};
  std::vector<ListedPair> largest_gradient_masses = {};
  std::vector<ListedPair> largest_required_margins = {};
};

struct SliceReport {
  std::string label_name = {};
  std::string label_value = {};
  std::uint64_t num_grouped_values = 0;
  std::uint64_t num_pairs = 0;
  std::uint64_t num_pairs_with_reference = 0;
  RankingReport ranking = {};
  std::optional<LengthReport> length = {};
  std::vector<Distribution> distributions = {};
  std::vector<ObjectiveReport> objectives = {};
  std::vector<ListedPair> most_negative_margins = {};
  std::vector<ListedPair> ties = {};
};

// The options and the models' digests are the caller's to add.
struct AnalysisReport {
  std::uint64_t num_pairs = 0;
  std::uint64_t num_faulty_pairs = 0;
  std::uint64_t num_non_finite_pairs = 0;
  std::vector<FaultyPair> faulty_pairs = {};
  std::vector<SliceReport> slices = {};  // overall always, first
};

}  // namespace prefscore
