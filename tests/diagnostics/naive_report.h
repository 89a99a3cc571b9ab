// SPDX-License-Identifier: Apache-2.0
// A report made the plain way: all pairs in memory, sorted, summed in long double, looked at once per question. Only
// the objectives are shared with what it is compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "server/diagnostics/analyzer.h"
#include "server/diagnostics/report.h"
#include "tests/diagnostics/naive_numbers.h"

namespace prefscore {

using Pairs = std::vector<AnalyzedPair>;

// A pair of one slice with its margins.
struct NaivePair {
  const AnalyzedPair* pair;
  double h, h0, a, b;
  bool has_reference;
  int Cell() const { return has_reference ? 3 * (1 - SignOf(h)) + 1 - SignOf(h0) : 9; }
};

// An objective's values for one pair.
struct NaiveValue {
  const NaivePair* of;
  ObjectiveValue value;
  double mass;
};

inline double SigmoidWeight(double z) { return 1 / (1 + std::exp(z)); }

class NaiveSlice {
 public:
  NaiveSlice(const Pairs& all, const AnalysisOptions& options, std::function<bool(const AnalyzedPair&)> is_in)
      : options_(options) {
    for (const AnalyzedPair& pair : all) {
      if (!is_in(pair)) continue;
      const PairMargins margins = ComputeMargins(pair.inputs.logps);
      pairs_.push_back({&pair, margins.policy_margin, margins.reference_margin, margins.chosen_logratio,
                        margins.rejected_logratio, !std::isnan(margins.reference_margin)});
    }
    for (const NaivePair& pair : pairs_) {
      if (pair.has_reference) with_reference_.push_back(pair);
    }
  }

  SliceReport Report() const {
    SliceReport report;
    report.num_pairs = pairs_.size();
    report.num_pairs_with_reference = with_reference_.size();
    report.ranking = {
        .policy_accuracy = NaiveShare(pairs_, [](const NaivePair& p) { return p.h > 0; }),
        .reference_accuracy = NaiveShare(with_reference_, [](const NaivePair& p) { return p.h0 > 0; }),
        .pessimistic_share = NaiveShare(with_reference_, [](const NaivePair& p) { return p.h0 < 0; }),
        .agreement = NaiveShare(with_reference_, [](const NaivePair& p) { return SignOf(p.h) == SignOf(p.h0); }),
        .both_fell_share = NaiveShare(with_reference_, [](const NaivePair& p) { return p.a < 0 && p.b < 0; }),
        .chosen_fell_share = NaiveShare(with_reference_, [](const NaivePair& p) { return p.a < 0; }),
        .policy_tie_share = NaiveShare(pairs_, [](const NaivePair& p) { return p.h == 0; }),
        .reference_tie_share = NaiveShare(with_reference_, [](const NaivePair& p) { return p.h0 == 0; }),
    };
    AddLengthsAndDistributions(report);
    for (const Objective& objective : options_.objectives) report.objectives.push_back(OneObjective(objective));
    std::vector<std::pair<const NaivePair*, double>> negative, ties;
    for (const NaivePair& pair : pairs_) {
      if (pair.h < 0) negative.emplace_back(&pair, pair.h);
      if (pair.h == 0 || (pair.has_reference && pair.h0 == 0)) ties.emplace_back(&pair, pair.h);
    }
    report.most_negative_margins = List(negative, [](double value) { return value; });
    report.ties = List(ties, [](double) { return 0.0; });
    return report;
  }

 private:
  static double PerToken(double chosen, double rejected, const PairInputs& inputs) {
    return chosen / inputs.num_chosen_tokens - rejected / inputs.num_rejected_tokens;
  }

  void AddLengthsAndDistributions(SliceReport& report) const {
    std::map<std::string, Numbers> of;
    Numbers differences, margins, reference_differences, reference_margins;
    for (const NaivePair& pair : pairs_) {
      const PairInputs& inputs = pair.pair->inputs;
      of["policy_margin"].push_back(pair.h);
      of["policy_chosen_logp"].push_back(inputs.logps.policy_chosen_logp);
      of["policy_rejected_logp"].push_back(inputs.logps.policy_rejected_logp);
      if (pair.has_reference) {
        of["reference_margin"].push_back(pair.h0);
        of["chosen_logratio"].push_back(pair.a);
        of["rejected_logratio"].push_back(pair.b);
      }
      const bool knows_chosen = !std::isnan(inputs.num_chosen_tokens);
      const bool knows_rejected = !std::isnan(inputs.num_rejected_tokens);
      if (knows_chosen) of["num_chosen_tokens"].push_back(inputs.num_chosen_tokens);
      if (knows_rejected) of["num_rejected_tokens"].push_back(inputs.num_rejected_tokens);
      if (!knows_chosen || !knows_rejected) continue;
      differences.push_back(inputs.num_chosen_tokens - inputs.num_rejected_tokens);
      margins.push_back(pair.h);
      of["policy_margin_per_token"].push_back(
          PerToken(inputs.logps.policy_chosen_logp, inputs.logps.policy_rejected_logp, inputs));
      if (!pair.has_reference) continue;
      reference_differences.push_back(differences.back());
      reference_margins.push_back(pair.h0);
      of["reference_margin_per_token"].push_back(
          PerToken(inputs.logps.reference_chosen_logp, inputs.logps.reference_rejected_logp, inputs));
    }
    for (const auto& [name, unit] :
         std::vector<std::pair<std::string, std::string>>{{"policy_margin", "nats"},
                                                          {"reference_margin", "nats"},
                                                          {"chosen_logratio", "nats"},
                                                          {"rejected_logratio", "nats"},
                                                          {"policy_chosen_logp", "nats"},
                                                          {"policy_rejected_logp", "nats"},
                                                          {"num_chosen_tokens", "tokens"},
                                                          {"num_rejected_tokens", "tokens"},
                                                          {"policy_margin_per_token", "nats per token"},
                                                          {"reference_margin_per_token", "nats per token"}}) {
      report.distributions.push_back(NaiveDistribution(name, unit, of[name]));
    }
    if (differences.empty()) return;
    const auto is_positive = [](double value) { return value > 0; };
    report.length = {
        .num_pairs = differences.size(),
        .chosen_longer_share = NaiveShare(differences, is_positive),
        .policy_margin_correlation = NaiveCorrelation(margins, differences),
        .reference_margin_correlation = NaiveCorrelation(reference_margins, reference_differences),
        .policy_accuracy_per_token = NaiveShare(of["policy_margin_per_token"], is_positive),
        .reference_accuracy_per_token = NaiveShare(of["reference_margin_per_token"], is_positive),
    };
  }

  static Numbers Map(const std::vector<NaiveValue>& values, const std::function<double(const NaiveValue&)>& read) {
    Numbers numbers;
    for (const NaiveValue& value : values) numbers.push_back(read(value));
    return numbers;
  }

  static double EffectiveSize(const Numbers& masses) {
    Wide sum = 0, squares = 0;
    for (const double mass : masses) sum += mass, squares += static_cast<Wide>(mass) * mass;
    return squares == 0 ? 0 : static_cast<double>(sum * sum / squares);
  }

  std::vector<NaiveValue> Evaluate(const Objective& objective) const {
    std::vector<NaiveValue> values;
    for (const NaivePair& pair : pairs_) {
      const ObjectiveValue value = prefscore::Evaluate(objective, {{pair.pair->inputs}}).front();
      const double mass =
          (std::fabs(value.d_loss_d_policy_chosen_logp) + std::fabs(value.d_loss_d_policy_rejected_logp)) / 2;
      values.push_back({&pair, value, mass});
    }
    return values;
  }

  // One pair at a time in plain double arithmetic, as sweeps do it: on grids of log-probs many logits are 0 there and
  // not in exact arithmetic.
  std::vector<NaiveValue> EvaluateFast(const Objective& objective) const {
    std::vector<NaiveValue> values = Evaluate(objective);
    for (NaiveValue& value : values) {
      const PairInputs& inputs = value.of->pair->inputs;
      const double numbers[] = {inputs.logps.policy_chosen_logp,    inputs.logps.policy_rejected_logp,
                                inputs.logps.reference_chosen_logp, inputs.logps.reference_rejected_logp,
                                inputs.num_chosen_tokens,           inputs.num_rejected_tokens};
      PairColumns columns{.num_pairs = 1};
      for (int i = 0; i < 6; ++i) columns.columns[i] = &numbers[i];
      if (!objective.needs_reference())
        columns.columns[kReferenceChosenLogp] = columns.columns[kReferenceRejectedLogp] = nullptr;
      double by_chosen, by_rejected;
      objective.EvaluateFast(columns, &value.value.loss, &value.value.logit, &by_chosen, &by_rejected);
      value.mass = (std::fabs(by_chosen) + std::fabs(by_rejected)) / 2;
    }
    return values;
  }

  SweepPoint Point(const Objective& objective, double beta, double gamma) const {
    const std::vector<NaiveValue> values = EvaluateFast(objective);
    const Numbers masses = Map(values, [](const NaiveValue& v) { return v.mass; });
    SweepPoint point = {
        .beta = beta,
        .gamma = gamma,
        .gamma_over_beta = gamma / beta,
        .mean_loss = NaiveMean(Map(values, [](const NaiveValue& v) { return v.value.loss; })),
        .accuracy = NaiveShare(values, [](const NaiveValue& v) { return v.value.logit > 0; }),
        .active_share = NaiveShare(values, [](const NaiveValue& v) { return v.value.logit < 0; }),
        .learning_share = NaiveShare(
            values, [&](const NaiveValue& v) { return SigmoidWeight(v.value.logit) > options_.learning_threshold; }),
        .saturated_share = NaiveShare(
            values, [&](const NaiveValue& v) { return SigmoidWeight(v.value.logit) < options_.saturation_threshold; }),
        .gradient_mass = NaiveSum(masses),
        .effective_sample_size = EffectiveSize(masses),
    };
    for (int cell = 0; cell < 9 && !with_reference_.empty(); ++cell) {
      point.gradient_mass_by_cell.push_back(
          NaiveSum(Map(Of(values, cell), [](const NaiveValue& v) { return v.mass; })));
    }
    return point;
  }

  static std::vector<NaiveValue> Of(const std::vector<NaiveValue>& values, int cell) {
    std::vector<NaiveValue> found;
    for (const NaiveValue& value : values) {
      if (value.of->Cell() == cell) found.push_back(value);
    }
    return found;
  }

  LearningCell Cell(int cell, const std::vector<NaiveValue>& values) const {
    const std::vector<NaiveValue> inside = Of(values, cell);
    const double mass = NaiveSum(Map(inside, [](const NaiveValue& v) { return v.mass; }));
    const double all_mass = NaiveSum(Map(values, [](const NaiveValue& v) { return v.mass; }));
    const bool has_tie = cell / 3 == 1 || cell % 3 == 1;
    std::uint64_t num_same_reference = 0;
    for (const NaivePair& pair : with_reference_) num_same_reference += 1 - SignOf(pair.h0) == cell % 3;
    return {
        .policy = static_cast<Ranking>(cell / 3),
        .reference = static_cast<Ranking>(cell % 3),
        .num_pairs = inside.size(),
        .share = static_cast<double>(inside.size()) / with_reference_.size(),
        .mean_loss = NaiveMean(Map(inside, [](const NaiveValue& v) { return v.value.loss; })),
        .mean_logit = NaiveMean(Map(inside, [](const NaiveValue& v) { return v.value.logit; })),
        .gradient_mass = mass,
        .gradient_mass_share = all_mass == 0 ? 0 : mass / all_mass,
        .active_share = NaiveShare(inside, [](const NaiveValue& v) { return v.value.logit < 0; }),
        .learning_share = NaiveShare(
            inside, [&](const NaiveValue& v) { return SigmoidWeight(v.value.logit) > options_.learning_threshold; }),
        .verdict_large_gamma =
            has_tie ? Verdict::kUnspecified : (cell % 3 == 0 ? Verdict::kLearning : Verdict::kNoLearning),
        .verdict_zero_gamma =
            has_tie ? Verdict::kUnspecified : (cell / 3 == 2 ? Verdict::kLearning : Verdict::kNoLearning),
        .is_diagonal = cell / 3 == cell % 3,
        .num_initial_pairs = cell / 3 == cell % 3 ? num_same_reference : 0,
    };
  }

  // A sum's terms each at their own gamma times the exponent.
  static Objective Tempered(const Objective& objective, double exponent) {
    return objective.WithBetaGamma(objective.beta(), objective.gamma() * exponent);
  }

  ObjectiveReport OneObjective(const Objective& objective) const {
    const std::vector<NaiveValue> values = Evaluate(objective);
    const Numbers masses = Map(values, [](const NaiveValue& v) { return v.mass; });
    ObjectiveReport report = {
        .label = objective.label(),
        .name = objective.name(),
        .beta = objective.beta(),
        .gamma = objective.gamma(),
        .num_pairs = values.size(),
        .mean_loss = NaiveMean(Map(values, [](const NaiveValue& v) { return v.value.loss; })),
        .accuracy = NaiveShare(values, [](const NaiveValue& v) { return v.value.logit > 0; }),
        .reward_likelihood_agreement =
            NaiveShare(values, [](const NaiveValue& v) { return SignOf(v.value.logit) == SignOf(v.of->h); }),
        .gradient_mass = NaiveSum(masses),
        .effective_sample_size = EffectiveSize(masses),
        .saturated_share = NaiveShare(
            values, [&](const NaiveValue& v) { return SigmoidWeight(v.value.logit) < options_.saturation_threshold; }),
    };
    for (int cell = 0; cell < 9 && !with_reference_.empty(); ++cell)
      report.learning_table.push_back(Cell(cell, values));
    const auto has = [&](bool ObjectiveDefinition::*what) {
      return objective.definition() != nullptr ? objective.definition()->*what
                                               : objective.terms().front().second.definition()->*what;
    };
    if (has(&ObjectiveDefinition::has_beta) || has(&ObjectiveDefinition::has_gamma)) {
      for (const double beta : options_.sweep_betas) {
        for (const double ratio : options_.sweep_gamma_over_betas) {
          report.sweep.push_back(Point(objective.WithBetaGamma(beta, ratio * beta), beta, ratio * beta));
          report.sweep.back().gamma_over_beta = ratio;
        }
      }
    }
    if (has(&ObjectiveDefinition::has_gamma)) {
      for (const double exponent : options_.temper_exponents) {
        const double gamma = objective.gamma() * exponent;
        report.temper.push_back(
            {exponent, objective.gamma() / exponent, Point(Tempered(objective, exponent), objective.beta(), gamma)});
      }
      FlipReport& flip = report.flip.emplace();
      flip.below_threshold_share = NaiveShare(values, [](const NaiveValue& v) { return v.of->h > 0; });
      flip.threshold = NaiveDistribution("threshold", "", Map(values, [&](const NaiveValue& v) {
                                           return std::log1p(std::exp(objective.gamma() * v.of->h0));
                                         }));
      for (const double p : options_.preference_probabilities) {
        flip.ideal_accuracies.push_back({p, NaiveShare(values, [&](const NaiveValue& v) {
                                           return objective.gamma() * v.of->h0 + std::log(p / (1 - p)) > 0;
                                         })});
      }
    }
    const auto add = [&](const char* name, const char* unit, const std::function<double(const NaiveValue&)>& read) {
      report.distributions.push_back(NaiveDistribution(name, unit, Map(values, read)));
    };
    add("loss", "", [](const NaiveValue& v) { return v.value.loss; });
    add("logit", "", [](const NaiveValue& v) { return v.value.logit; });
    add("required_margin", objective.is_per_token() ? "nats per token" : "nats",
        [](const NaiveValue& v) { return v.value.required_margin; });
    add("chosen_reward", "", [](const NaiveValue& v) { return v.value.chosen_reward; });
    add("rejected_reward", "", [](const NaiveValue& v) { return v.value.rejected_reward; });
    add("reward_margin", "", [](const NaiveValue& v) { return v.value.chosen_reward - v.value.rejected_reward; });
    std::vector<std::pair<const NaivePair*, double>> by_mass, by_required;
    for (const NaiveValue& value : values) {
      by_mass.emplace_back(value.of, value.mass);
      by_required.emplace_back(value.of, value.value.required_margin);
    }
    report.largest_gradient_masses = List(by_mass, [](double value) { return -value; });
    report.largest_required_margins = List(by_required, [](double value) { return -value; });
    return report;
  }

  std::vector<ListedPair> List(std::vector<std::pair<const NaivePair*, double>> pairs,
                               const std::function<double(double)>& rank) const {
    std::sort(pairs.begin(), pairs.end(), [&](const auto& x, const auto& y) {
      const auto key = [&](const auto& p) {
        const PairLogProbs& logps = p.first->pair->inputs.logps;
        const auto known = [](double logp) { return std::isnan(logp) ? 1.0 : logp; };
        return std::tuple(rank(p.second), p.first->pair->id, logps.policy_chosen_logp, logps.policy_rejected_logp,
                          known(logps.reference_chosen_logp), known(logps.reference_rejected_logp));
      };
      return key(x) < key(y);
    });
    if (pairs.size() > options_.num_listed_pairs) pairs.resize(options_.num_listed_pairs);
    std::vector<ListedPair> list;
    for (const auto& [pair, value] : pairs) {
      list.push_back({pair->pair->id, pair->h, pair->has_reference ? std::optional(pair->h0) : std::nullopt, value});
    }
    return list;
  }

  const AnalysisOptions& options_;
  std::vector<NaivePair> pairs_;
  std::vector<NaivePair> with_reference_;
};

// REQUIRES: sound pairs.
inline AnalysisReport NaiveReport(const Pairs& pairs, const AnalysisOptions& options) {
  AnalysisReport report;
  report.num_pairs = pairs.size();
  report.slices.push_back(NaiveSlice(pairs, options, [](const AnalyzedPair&) { return true; }).Report());
  std::map<std::string, std::set<std::string>> values_of;
  for (const AnalyzedPair& pair : pairs) {
    for (const auto& [name, value] : pair.labels) values_of[name].insert(value);
  }
  const auto value_of = [](const AnalyzedPair& pair, const std::string& name) {
    const auto found =
        std::find_if(pair.labels.begin(), pair.labels.end(), [&](const auto& l) { return l.first == name; });
    return found == pair.labels.end() ? std::optional<std::string>() : found->second;
  };
  for (auto& [name, values] : values_of) {
    const std::vector<std::string> sorted(values.begin(), values.end());
    const std::size_t num_kept = std::min(sorted.size(), options.max_slices);
    const auto add = [&, &name = name](auto is_in) -> SliceReport& {
      report.slices.push_back(NaiveSlice(pairs, options, [&](const AnalyzedPair& pair) {
                                const auto value = value_of(pair, name);
                                return value.has_value() && is_in(*value);
                              }).Report());
      report.slices.back().label_name = name;
      return report.slices.back();
    };
    for (std::size_t i = 0; i < num_kept; ++i) {
      add([&](const std::string& value) { return value == sorted[i]; }).label_value = sorted[i];
    }
    if (num_kept == sorted.size()) continue;
    add([&](const std::string& value) { return value > sorted[num_kept - 1]; }).num_grouped_values =
        sorted.size() - num_kept;
  }
  return report;
}

}  // namespace prefscore
