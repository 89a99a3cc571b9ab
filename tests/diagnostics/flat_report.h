// SPDX-License-Identifier: Apache-2.0
// A report as a list of its numbers and texts, each with its path: for comparing whole reports.
#pragma once

#include <bit>
#include <cmath>
#include <map>
#include <string>

#include "gtest/gtest.h"
#include "server/diagnostics/report.h"

namespace prefscore {

struct FlatReport {
  std::map<std::string, double> numbers;
  std::map<std::string, std::string> texts;
};

class Flattener {
 public:
  FlatReport Flatten(const AnalysisReport& report) {
    Number("num_pairs", report.num_pairs);
    Number("num_faulty_pairs", report.num_faulty_pairs);
    Number("num_non_finite_pairs", report.num_non_finite_pairs);
    Each("faulty_pairs", report.faulty_pairs, [&](const FaultyPair& pair) {
      Text("id", pair.id);
      Text("message", pair.message);
    });
    Each("slices", report.slices, [&](const SliceReport& slice) { Add(slice); });
    return std::move(flat_);
  }

 private:
  void Number(const std::string& name, double value) { flat_.numbers[path_ + name] = value; }
  void Text(const std::string& name, const std::string& value) { flat_.texts[path_ + name] = value; }

  template <typename Visit>
  void Under(const std::string& name, Visit visit) {
    const std::string outer = path_;
    path_ += name + ".";
    visit();
    path_ = outer;
  }

  template <typename List, typename Visit>
  void Each(const std::string& name, const List& list, Visit visit) {
    Number(name + ".size", static_cast<double>(list.size()));
    for (std::size_t i = 0; i < list.size(); ++i) Under(name + "[" + std::to_string(i) + "]", [&] { visit(list[i]); });
  }

  void Numbers(const std::string& name, const auto& list) {
    Each(name, list, [&](double value) { Number("", value); });
  }

  void Add(const SliceReport& slice) {
    Text("label_name", slice.label_name);
    Text("label_value", slice.label_value);
    Number("num_grouped_values", slice.num_grouped_values);
    Number("num_pairs", slice.num_pairs);
    Number("num_pairs_with_reference", slice.num_pairs_with_reference);
    Under("ranking", [&] {
      Number("policy_accuracy", slice.ranking.policy_accuracy);
      Number("reference_accuracy", slice.ranking.reference_accuracy);
      Number("pessimistic_share", slice.ranking.pessimistic_share);
      Number("agreement", slice.ranking.agreement);
      Number("both_fell_share", slice.ranking.both_fell_share);
      Number("chosen_fell_share", slice.ranking.chosen_fell_share);
      Number("policy_tie_share", slice.ranking.policy_tie_share);
      Number("reference_tie_share", slice.ranking.reference_tie_share);
    });
    Number("has_length", slice.length.has_value());
    if (slice.length.has_value()) {
      Under("length", [&] {
        Number("num_pairs", slice.length->num_pairs);
        Number("chosen_longer_share", slice.length->chosen_longer_share);
        Number("policy_margin_correlation", slice.length->policy_margin_correlation);
        Number("reference_margin_correlation", slice.length->reference_margin_correlation);
        Number("policy_accuracy_per_token", slice.length->policy_accuracy_per_token);
        Number("reference_accuracy_per_token", slice.length->reference_accuracy_per_token);
      });
    }
    Each("distributions", slice.distributions, [&](const Distribution& distribution) { Add(distribution); });
    Each("objectives", slice.objectives, [&](const ObjectiveReport& objective) { Add(objective); });
    Each("most_negative_margins", slice.most_negative_margins, [&](const ListedPair& pair) { Add(pair); });
    Each("ties", slice.ties, [&](const ListedPair& pair) { Add(pair); });
  }

  void Add(const Distribution& distribution) {
    Text("name", distribution.name);
    Text("unit", distribution.unit);
    Number("count", distribution.count);
    Number("mean", distribution.mean);
    Number("deviation", distribution.deviation);
    Number("minimum", distribution.minimum);
    Number("maximum", distribution.maximum);
    Each("quantiles", distribution.quantiles, [&](const Quantile& quantile) {
      Number("probability", quantile.probability);
      Number("value", quantile.value);
    });
    Number("quantile_relative_error", distribution.quantile_relative_error);
    Number("histogram.lower", distribution.histogram.lower);
    Number("histogram.upper", distribution.histogram.upper);
    Numbers("histogram.counts", distribution.histogram.counts);
  }

  void Add(const ListedPair& pair) {
    Text("id", pair.id);
    Number("policy_margin", pair.policy_margin);
    Number("has_reference_margin", pair.reference_margin.has_value());
    if (pair.reference_margin.has_value()) Number("reference_margin", *pair.reference_margin);
    Number("value", pair.value);
  }

  void Add(const ObjectiveReport& objective) {
    Text("label", objective.label);
    Text("name", objective.name);
    Number("beta", objective.beta);
    Number("gamma", objective.gamma);
    Number("num_pairs", objective.num_pairs);
    Number("mean_loss", objective.mean_loss);
    Number("accuracy", objective.accuracy);
    Number("reward_likelihood_agreement", objective.reward_likelihood_agreement);
    Number("gradient_mass", objective.gradient_mass);
    Number("effective_sample_size", objective.effective_sample_size);
    Number("saturated_share", objective.saturated_share);
    Each("learning_table", objective.learning_table, [&](const LearningCell& cell) { Add(cell); });
    Each("sweep", objective.sweep, [&](const SweepPoint& point) { Add(point); });
    Each("temper", objective.temper, [&](const TemperPoint& point) {
      Number("exponent", point.exponent);
      Number("unchanged_gamma", point.unchanged_gamma);
      Under("if_left_alone", [&] { Add(point.if_left_alone); });
    });
    Number("has_flip", objective.flip.has_value());
    if (objective.flip.has_value()) {
      Under("flip", [&] {
        Number("below_threshold_share", objective.flip->below_threshold_share);
        Under("threshold", [&] { Add(objective.flip->threshold); });
        Each("ideal_accuracies", objective.flip->ideal_accuracies, [&](const IdealAccuracy& ideal) {
          Number("preference_probability", ideal.preference_probability);
          Number("accuracy", ideal.accuracy);
        });
      });
    }
    Each("distributions", objective.distributions, [&](const Distribution& distribution) { Add(distribution); });
    Each("largest_gradient_masses", objective.largest_gradient_masses, [&](const ListedPair& pair) { Add(pair); });
    Each("largest_required_margins", objective.largest_required_margins, [&](const ListedPair& pair) { Add(pair); });
  }

  void Add(const LearningCell& cell) {
    Number("policy", static_cast<int>(cell.policy));
    Number("reference", static_cast<int>(cell.reference));
    Number("num_pairs", cell.num_pairs);
    Number("share", cell.share);
    Number("mean_loss", cell.mean_loss);
    Number("mean_logit", cell.mean_logit);
    Number("gradient_mass", cell.gradient_mass);
    Number("gradient_mass_share", cell.gradient_mass_share);
    Number("active_share", cell.active_share);
    Number("learning_share", cell.learning_share);
    Number("verdict_large_gamma", static_cast<int>(cell.verdict_large_gamma));
    Number("verdict_zero_gamma", static_cast<int>(cell.verdict_zero_gamma));
    Number("is_diagonal", cell.is_diagonal);
    Number("num_initial_pairs", cell.num_initial_pairs);
  }

  void Add(const SweepPoint& point) {
    Number("beta", point.beta);
    Number("gamma", point.gamma);
    Number("gamma_over_beta", point.gamma_over_beta);
    Number("mean_loss", point.mean_loss);
    Number("accuracy", point.accuracy);
    Number("active_share", point.active_share);
    Number("learning_share", point.learning_share);
    Number("saturated_share", point.saturated_share);
    Number("gradient_mass", point.gradient_mass);
    Numbers("gradient_mass_by_cell", point.gradient_mass_by_cell);
    Number("effective_sample_size", point.effective_sample_size);
  }

  FlatReport flat_;
  std::string path_;
};

inline FlatReport Flatten(const AnalysisReport& report) { return Flattener().Flatten(report); }

// To the last bit; -0 is not 0.
inline ::testing::AssertionResult AreTheSame(const AnalysisReport& x, const AnalysisReport& y) {
  const FlatReport flat_x = Flatten(x), flat_y = Flatten(y);
  if (flat_x.texts != flat_y.texts) return ::testing::AssertionFailure() << "texts differ";
  for (const auto& [path, value] : flat_x.numbers) {
    const auto other = flat_y.numbers.find(path);
    if (other == flat_y.numbers.end()) return ::testing::AssertionFailure() << "the second has no " << path;
    if (std::bit_cast<std::uint64_t>(value) == std::bit_cast<std::uint64_t>(other->second)) continue;
    return ::testing::AssertionFailure() << path << " is " << value << " and " << other->second << ", differing by "
                                         << value - other->second;
  }
  if (flat_x.numbers.size() != flat_y.numbers.size()) return ::testing::AssertionFailure() << "the second has more";
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult AreClose(const AnalysisReport& actual, const AnalysisReport& expected,
                                           double tolerance) {
  const FlatReport flat_actual = Flatten(actual), flat_expected = Flatten(expected);
  for (const auto& [path, text] : flat_expected.texts) {
    const auto found = flat_actual.texts.find(path);
    if (found == flat_actual.texts.end()) return ::testing::AssertionFailure() << "no " << path;
    if (found->second != text)
      return ::testing::AssertionFailure() << path << " is " << found->second << ", not " << text;
  }
  for (const auto& [path, value] : flat_expected.numbers) {
    const auto found = flat_actual.numbers.find(path);
    if (found == flat_actual.numbers.end()) return ::testing::AssertionFailure() << "no " << path;
    if (std::fabs(found->second - value) <= tolerance * (1 + std::fabs(value))) continue;
    return ::testing::AssertionFailure() << path << " is " << found->second << ", not " << value;
  }
  if (flat_actual.numbers.size() != flat_expected.numbers.size())
    return ::testing::AssertionFailure() << "more numbers";
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult IsFinite(const AnalysisReport& report) {
  for (const auto& [path, value] : Flatten(report).numbers) {
    if (!std::isfinite(value)) return ::testing::AssertionFailure() << path << " is " << value;
  }
  return ::testing::AssertionSuccess();
}

}  // namespace prefscore
