// SPDX-License-Identifier: Apache-2.0
// A report of one slice as JSON, under the names of diagnostics.proto: for comparisons, numbers are exact.
#pragma once

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/diagnostics/report.h"

namespace prefscore {

using Json = nlohmann::ordered_json;

inline Json ToJson(const Distribution& distribution) {
  Json quantiles = Json::array();
  for (const Quantile& quantile : distribution.quantiles) quantiles.push_back(quantile.value);
  return {{"count", distribution.count},
          {"mean", distribution.mean},
          {"deviation", distribution.deviation},
          {"minimum", distribution.minimum},
          {"maximum", distribution.maximum},
          {"quantiles", quantiles},
          {"histogram", distribution.histogram.counts}};
}

inline Json ToJson(const std::vector<Distribution>& distributions) {
  Json json = Json::object();
  for (const Distribution& distribution : distributions) json[distribution.name] = ToJson(distribution);
  return json;
}

inline Json ToJson(const std::vector<ListedPair>& pairs) {
  Json json = Json::array();
  for (const ListedPair& pair : pairs) json.push_back({{"id", pair.id}, {"value", pair.value}});
  return json;
}

inline Json ToJson(const SweepPoint& point) {
  return {{"beta", point.beta},
          {"gamma", point.gamma},
          {"mean_loss", point.mean_loss},
          {"accuracy", point.accuracy},
          {"active_share", point.active_share},
          {"learning_share", point.learning_share},
          {"saturated_share", point.saturated_share},
          {"gradient_mass", point.gradient_mass},
          {"gradient_mass_by_cell", point.gradient_mass_by_cell},
          {"effective_sample_size", point.effective_sample_size}};
}

inline Json ToJson(const LearningCell& cell) {
  return {{"num_pairs", cell.num_pairs},
          {"share", cell.share},
          {"mean_loss", cell.mean_loss},
          {"mean_logit", cell.mean_logit},
          {"gradient_mass", cell.gradient_mass},
          {"gradient_mass_share", cell.gradient_mass_share},
          {"active_share", cell.active_share},
          {"learning_share", cell.learning_share},
          {"num_initial_pairs", cell.num_initial_pairs}};
}

inline Json ToJson(const ObjectiveReport& objective) {
  Json json = {{"num_pairs", objective.num_pairs},
               {"mean_loss", objective.mean_loss},
               {"accuracy", objective.accuracy},
               {"reward_likelihood_agreement", objective.reward_likelihood_agreement},
               {"gradient_mass", objective.gradient_mass},
               {"effective_sample_size", objective.effective_sample_size},
               {"saturated_share", objective.saturated_share},
               {"distributions", ToJson(objective.distributions)},
               {"largest_gradient_masses", ToJson(objective.largest_gradient_masses)},
               {"largest_required_margins", ToJson(objective.largest_required_margins)}};
  for (const LearningCell& cell : objective.learning_table) json["learning_table"].push_back(ToJson(cell));
  for (const SweepPoint& point : objective.sweep) json["sweep"].push_back(ToJson(point));
  for (const TemperPoint& point : objective.temper) json["temper"].push_back(ToJson(point.if_left_alone));
  if (objective.flip.has_value()) {
    Json accuracies = Json::array();
    for (const IdealAccuracy& ideal : objective.flip->ideal_accuracies) accuracies.push_back(ideal.accuracy);
    json["flip"] = {{"below_threshold_share", objective.flip->below_threshold_share},
                    {"threshold", ToJson(objective.flip->threshold)},
                    {"ideal_accuracies", accuracies}};
  }
  return json;
}

// Of the first slice and its first objective.
inline std::string ReportToJson(const AnalysisReport& report) {
  const SliceReport& slice = report.slices.front();
  const RankingReport& ranking = slice.ranking;
  Json json = {{"num_pairs", slice.num_pairs},
               {"ranking",
                {{"policy_accuracy", ranking.policy_accuracy},
                 {"reference_accuracy", ranking.reference_accuracy},
                 {"pessimistic_share", ranking.pessimistic_share},
                 {"agreement", ranking.agreement},
                 {"both_fell_share", ranking.both_fell_share},
                 {"chosen_fell_share", ranking.chosen_fell_share},
                 {"policy_tie_share", ranking.policy_tie_share},
                 {"reference_tie_share", ranking.reference_tie_share}}}};
  if (slice.length.has_value()) {
    json["length"] = {{"chosen_longer_share", slice.length->chosen_longer_share},
                      {"policy_margin_correlation", slice.length->policy_margin_correlation},
                      {"reference_margin_correlation", slice.length->reference_margin_correlation},
                      {"policy_accuracy_per_token", slice.length->policy_accuracy_per_token},
                      {"reference_accuracy_per_token", slice.length->reference_accuracy_per_token}};
  }
  json["distributions"] = ToJson(slice.distributions);
  json["objective"] = ToJson(slice.objectives.front());
  json["most_negative_margins"] = ToJson(slice.most_negative_margins);
  json["ties"] = ToJson(slice.ties);
  return json.dump();
}

}  // namespace prefscore
