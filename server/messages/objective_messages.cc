// SPDX-License-Identifier: Apache-2.0
#include "server/messages/objective_messages.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/objectives/parameters.h"
#include "server/objectives/registry.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr int kMaxTerms = 16;

absl::StatusOr<ObjectiveRequest> RequestFromProto(const v1::Objective& proto) {
  ObjectiveRequest request{.name = proto.name()};
  for (const auto& [name, value] : proto.parameters()) {
    const std::string field = absl::StrCat("parameters.", name);
    if (name == "beta" || name == "gamma") return FieldError(field, "is a field of its own, beside parameters");
    switch (value.kind_case()) {
      case v1::ParameterValue::kNumber: request.parameters[name] = value.number(); break;
      case v1::ParameterValue::kText: request.parameters[name] = value.text(); break;
      case v1::ParameterValue::KIND_NOT_SET: return FieldError(field, "has no value: neither number nor text is set");
    }
  }
  if (proto.has_beta()) request.parameters["beta"] = proto.beta();
  if (proto.has_gamma()) request.parameters["gamma"] = proto.gamma();
  if (proto.terms_size() > kMaxTerms) {
    return FieldError("terms", absl::StrCat("has ", proto.terms_size(), " entries; the limit is ", kMaxTerms));
  }
  for (int idx = 0; idx < proto.terms_size(); ++idx) {
    const v1::Objective& term_proto = proto.terms(idx).objective();
    const std::string path = absl::StrCat("terms[", idx, "].objective");
    if (!term_proto.terms().empty()) return FieldError(path + ".terms", "is a sum within a sum; give its terms here");
    auto term = RequestFromProto(term_proto);
    if (!term.ok()) return UnderField(path, term.status());
    request.terms.emplace_back(proto.terms(idx).weight(), *std::move(term));
  }
  return request;
}

std::string LimitsText(const ParameterDefinition& parameter) {
  std::string text;
  if (parameter.choices != nullptr) {
    for (std::size_t idx = 0; parameter.choices[idx] != nullptr; ++idx) {
      absl::StrAppend(&text, idx == 0 ? "one of: " : ", ", parameter.choices[idx]);
    }
    return text;
  }
  if (std::isfinite(parameter.minimum)) {
    absl::StrAppend(&text, parameter.is_minimum_excluded ? "> " : ">= ", parameter.minimum);
  }
  if (std::isfinite(parameter.maximum)) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", parameter.is_maximum_excluded ? "< " : "<= ", parameter.maximum);
  }
  return text.empty() ? "finite" : text;
}

std::string DefaultText(const ParameterDefinition& parameter) {
  if (std::isnan(parameter.default_value)) return "";
  if (parameter.choices != nullptr) return parameter.choices[static_cast<std::size_t>(parameter.default_value)];
  return ShortestNumber(parameter.default_value);
}

void AddParameter(v1::ObjectiveInfo& info, const std::string& name, const std::string& default_value,
                  const std::string& limits, const std::string& meaning, const std::string& source) {
  v1::ParameterInfo& parameter = *info.add_parameters();
  parameter.set_name(name);
  parameter.set_default_value(default_value);
  parameter.set_limits(limits);
  parameter.set_meaning(meaning);
  parameter.set_source(source);
}

void DefinitionToProto(const ObjectiveDefinition& definition, v1::ObjectiveInfo& info) {
  info.set_name(definition.name);
  info.set_formula(definition.formula);
  info.set_source(definition.source);
  info.set_is_batch(definition.prepare_batch != nullptr);
  if (definition.has_beta) {
    AddParameter(info, "beta", ShortestNumber(definition.default_beta), "> 0", "weight of the policy's log-probs",
                 definition.beta_source);
  }
  if (definition.has_gamma) {
    AddParameter(info, "gamma", "beta", ">= 0", "weight of the reference's log-probs", "K. Cho; beta is DPO");
  }
  for (std::size_t idx = 0; idx < NumParameters(definition); ++idx) {
    const ParameterDefinition& parameter = definition.parameters[idx];
    AddParameter(info, parameter.name, DefaultText(parameter), LimitsText(parameter), parameter.meaning,
                 parameter.source);
  }
  for (const auto& [need, name] : {std::pair(kReference, "reference"), std::pair(kChosenLength, "num_chosen_tokens"),
                                   std::pair(kRejectedLength, "num_rejected_tokens"), std::pair(kGap, "score_gap"),
                                   std::pair(kHeads, "token_logps")}) {
    if (definition.needs & need) info.add_needs(name);
  }
}

}  // namespace

absl::Status CheckCount(const std::string& field, std::int64_t count, const std::string& limit, std::int64_t max) {
  if (count == 0) return FieldError(field, "has 0 entries; at least 1 is needed");
  if (count > max) return FieldError(field, absl::StrCat("has ", count, " entries; the limit is ", limit, " = ", max));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Objective>> ObjectivesFromProto(
    const google::protobuf::RepeatedPtrField<v1::Objective>& objectives, const std::string& field,
    std::int64_t max_objectives) {
  if (objectives.empty()) {
    ASSIGN_OR_RETURN(Objective objective, Objective::Create({.name = "sigmoid"}));
    return std::vector<Objective>{std::move(objective)};
  }
  RETURN_IF_ERROR(CheckCount(field, objectives.size(), "max_objectives", max_objectives));
  std::vector<Objective> resolved;
  for (int idx = 0; idx < objectives.size(); ++idx) {
    const std::string path = absl::StrCat(field, "[", idx, "]");
    auto request = RequestFromProto(objectives[idx]);
    if (!request.ok()) return UnderField(path, request.status());
    auto objective = Objective::Create(*request);
    if (!objective.ok()) return UnderField(path, objective.status());
    resolved.push_back(*std::move(objective));
  }
  return resolved;
}

absl::Status CheckNoBatchObjective(const std::vector<Objective>& objectives, const std::string& field,
                                   const std::string& pairs) {
  for (std::size_t idx = 0; idx < objectives.size(); ++idx) {
    if (!objectives[idx].is_batch()) continue;
    return FieldError(absl::StrCat(field, "[", idx, "].name"),
                      absl::StrCat("is '", objectives[idx].name(), "', which needs a batch, and ", pairs,
                                   " are no batch; ScorePairs and EvaluateObjectives take it"));
  }
  return absl::OkStatus();
}

void ObjectiveToProto(const Objective& objective, const ObjectiveValue& value, v1::ObjectiveResult& result) {
  result.set_name(objective.name());
  result.set_label(objective.label());
  result.set_beta(objective.beta());
  result.set_gamma(objective.gamma());
  result.set_loss(value.loss);
  result.set_logit(value.logit);
  result.set_chosen_reward(value.chosen_reward);
  result.set_rejected_reward(value.rejected_reward);
  result.set_required_margin(value.required_margin);
  result.set_effective_margin(value.effective_margin);
  result.set_gradient_weight(value.gradient_weight);
  result.set_d_loss_d_policy_chosen_logp(value.d_loss_d_policy_chosen_logp);
  result.set_d_loss_d_policy_rejected_logp(value.d_loss_d_policy_rejected_logp);
  result.set_d_loss_d_beta(value.d_loss_d_beta);
  result.set_d_loss_d_gamma(value.d_loss_d_gamma);
}

void BatchStatesToProto(const std::vector<BatchState>& states,
                        google::protobuf::RepeatedPtrField<v1::BatchState>& protos) {
  for (const BatchState& state : states) {
    auto& values = *protos.Add()->mutable_values();
    for (const auto& [name, value] : state) values[name] = value;
  }
}

v1::ListObjectivesResponse ListObjectivesToProto() {
  v1::ListObjectivesResponse response;
  for (const ObjectiveDefinition* definition : AllObjectives()) {
    DefinitionToProto(*definition, *response.add_objectives());
  }
  return response;
}

}  // namespace prefscore
