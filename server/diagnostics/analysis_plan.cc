// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/analysis_plan.h"

#include <algorithm>
#include <cmath>

namespace prefscore {
namespace {

// The logit that a sigmoid weight sigmoid(-z) has at `weight`: z = log((1 - weight) / weight).
double LogitOfWeight(double weight) { return std::log1p(-weight) - std::log(weight); }

std::vector<std::pair<double, Objective>> TermsOf(const Objective& objective) {
  if (objective.definition() != nullptr) return {{1.0, objective}};
  return {objective.terms().begin(), objective.terms().end()};
}

bool AnyTerm(const Objective& objective, bool ObjectiveDefinition::*has) {
  const auto terms = TermsOf(objective);
  return std::any_of(terms.begin(), terms.end(), [&](const auto& term) { return term.second.definition()->*has; });
}

PlannedObjective Plan(const Objective& objective, const AnalysisOptions& options) {
  PlannedObjective plan = {.objective = objective};
  plan.has_gamma = TermsOf(objective).front().second.definition()->has_gamma;
  if (AnyTerm(objective, &ObjectiveDefinition::has_beta) || AnyTerm(objective, &ObjectiveDefinition::has_gamma)) {
    for (const double beta : options.sweep_betas) {
      for (const double ratio : options.sweep_gamma_over_betas) {
        const double gamma = ratio * beta;
        plan.sweep.push_back({beta, gamma, TermsOf(objective.WithBetaGamma(beta, gamma))});
        plan.sweep_ratios.push_back(ratio);
      }
    }
  }
  if (AnyTerm(objective, &ObjectiveDefinition::has_gamma)) {
    for (const double exponent : options.temper_exponents) {
      PlannedPoint point = {objective.beta(), objective.gamma() * exponent, {}};
      for (const auto& [weight, term] : TermsOf(objective)) {
        point.terms.emplace_back(weight, term.WithBetaGamma(term.beta(), term.gamma() * exponent));
      }
      plan.temper.push_back({exponent, std::move(point)});
    }
  }
  return plan;
}

}  // namespace

AnalysisPlan::AnalysisPlan(AnalysisOptions given) : options(std::move(given)) {
  for (const Objective& objective : options.objectives) {
    objectives.push_back(Plan(objective, options));
    needs |= objective.needs();
  }
  thresholds = {LogitOfWeight(options.learning_threshold), LogitOfWeight(options.saturation_threshold)};
  for (const double p : options.preference_probabilities) preference_logits.push_back(std::log(p) - std::log1p(-p));
  num_columns = (needs & kHeads) ? kNumPairColumns : ((needs & kGap) ? kScoreGap + 1 : kNumRejectedTokens + 1);
}

}  // namespace prefscore
