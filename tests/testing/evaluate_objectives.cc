// SPDX-License-Identifier: Apache-2.0
// Evaluates objectives on log-probs, for tests from outside.
//
//   evaluate_objectives < lines > results
//
// A line is {"objective": {"name", "parameters": {...}, "terms": [{"weight", "objective"}, ...]}, "pairs": [{a pair's
// numbers by name, "head_logps": [4]}, ...]}; what a pair lacks is not known. Its result is {"values": [...], "state":
// {...}, "fast": [...]} with every double in the shortest form that reads back as itself, those that are not finite as
// "inf", "-inf", "nan"; or {"error": "..."}. The pairs of a line are one batch; "fast" is absent for batch objectives.
#include <array>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/objectives/objective.h"

namespace prefscore {
namespace {

using Json = nlohmann::json;

ObjectiveRequest ParseObjective(const Json& json) {
  ObjectiveRequest request = {.name = json.value("name", "")};
  const Json parameters = json.value("parameters", Json::object());
  for (const auto& [name, value] : parameters.items()) {
    if (value.is_string()) {
      request.parameters[name] = value.get<std::string>();
    } else {
      request.parameters[name] = value.get<double>();
    }
  }
  for (const Json& term : json.value("terms", Json::array())) {
    request.terms.emplace_back(term.at("weight").get<double>(), ParseObjective(term.at("objective")));
  }
  return request;
}

PairInputs ParsePair(const Json& json) {
  const auto number = [&](const char* name) { return json.value(name, kUnknown); };
  PairInputs pair = {
      .logps = {number("policy_chosen_logp"), number("policy_rejected_logp"), number("reference_chosen_logp"),
                number("reference_rejected_logp")},
      .num_chosen_tokens = number("num_chosen_tokens"),
      .num_rejected_tokens = number("num_rejected_tokens"),
      .score_gap = number("score_gap"),
  };
  if (json.contains("head_logps")) {
    const std::array<double, 4> heads = json.at("head_logps");
    pair.head_logps = {heads[0], heads[1], heads[2], heads[3]};
  }
  return pair;
}

Json Number(double x) {
  if (std::isfinite(x)) return x;
  return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
}

Json ToJson(const ObjectiveValue& value) {
  return {
      {"loss", Number(value.loss)},
      {"logit", Number(value.logit)},
      {"chosen_reward", Number(value.chosen_reward)},
      {"rejected_reward", Number(value.rejected_reward)},
      {"required_margin", Number(value.required_margin)},
      {"effective_margin", Number(value.effective_margin)},
      {"gradient_weight", Number(value.gradient_weight)},
      {"d_loss_d_policy_chosen_logp", Number(value.d_loss_d_policy_chosen_logp)},
      {"d_loss_d_policy_rejected_logp", Number(value.d_loss_d_policy_rejected_logp)},
      {"d_loss_d_beta", Number(value.d_loss_d_beta)},
      {"d_loss_d_gamma", Number(value.d_loss_d_gamma)},
  };
}

std::array<double, kNumPairColumns> Row(const PairInputs& pair) {
  return {pair.logps.policy_chosen_logp,
          pair.logps.policy_rejected_logp,
          pair.logps.reference_chosen_logp,
          pair.logps.reference_rejected_logp,
          pair.num_chosen_tokens,
          pair.num_rejected_tokens,
          pair.score_gap,
          pair.head_logps.policy_chosen_logp,
          pair.head_logps.policy_rejected_logp,
          pair.head_logps.reference_chosen_logp,
          pair.head_logps.reference_rejected_logp};
}

Json EvaluateFast(const Objective& objective, const std::vector<PairInputs>& pairs) {
  const std::size_t n = pairs.size();
  std::array<std::vector<double>, kNumPairColumns> columns;
  PairColumns view = {.num_pairs = n};
  for (std::size_t c = 0; c < kNumPairColumns; ++c) {
    bool is_known = false;
    for (const PairInputs& pair : pairs) {
      columns[c].push_back(Row(pair)[c]);
      is_known |= !std::isnan(columns[c].back());
    }
    if (is_known) view.columns[c] = columns[c].data();
  }
  std::vector<double> loss(n), logit(n), by_policy_chosen(n), by_policy_rejected(n);
  objective.EvaluateFast(view, loss.data(), logit.data(), by_policy_chosen.data(), by_policy_rejected.data());
  Json values = Json::array();
  for (std::size_t i = 0; i < n; ++i) {
    values.push_back({{"loss", Number(loss[i])},
                      {"logit", Number(logit[i])},
                      {"d_loss_d_policy_chosen_logp", Number(by_policy_chosen[i])},
                      {"d_loss_d_policy_rejected_logp", Number(by_policy_rejected[i])}});
  }
  return values;
}

Json Error(const absl::Status& status) { return {{"error", std::string(status.message())}}; }

Json EvaluateLine(const Json& line) {
  const absl::StatusOr<Objective> objective = Objective::Create(ParseObjective(line.at("objective")));
  if (!objective.ok()) return Error(objective.status());
  std::vector<PairInputs> pairs;
  for (const Json& pair : line.at("pairs")) {
    pairs.push_back(ParsePair(pair));
    if (const absl::Status status = objective->CheckPair(pairs.back()); !status.ok()) return Error(status);
  }
  BatchState state;
  Json values = Json::array();
  for (const ObjectiveValue& value : Evaluate(*objective, pairs, &state)) values.push_back(ToJson(value));
  Json result = {{"values", std::move(values)}, {"state", Json::object()}};
  for (const auto& [name, value] : state) result["state"][name] = Number(value);
  if (!objective->is_batch()) result["fast"] = EvaluateFast(*objective, pairs);
  return result;
}

}  // namespace
}  // namespace prefscore

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::printf("%s\n", prefscore::EvaluateLine(nlohmann::json::parse(line)).dump().c_str());
  }
}
