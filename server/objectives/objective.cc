// SPDX-License-Identifier: Apache-2.0
#include "server/objectives/objective.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/objectives/batch_evaluation.h"
#include "server/objectives/parameters.h"
#include "server/objectives/registry.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

using ParameterValue = std::variant<double, std::string>;

absl::StatusOr<double> ResolveNumber(const ParameterDefinition& definition, const ParameterValue& value,
                                     const std::string& field) {
  const double* number = std::get_if<double>(&value);
  if (number == nullptr) {
    return FieldError(field, absl::StrCat("is '", std::get<std::string>(value), "'; it must be a number"));
  }
  const bool is_too_small =
      definition.is_minimum_excluded ? *number <= definition.minimum : *number < definition.minimum;
  const bool is_too_large =
      definition.is_maximum_excluded ? *number >= definition.maximum : *number > definition.maximum;
  if (std::isfinite(*number) && !is_too_small && !is_too_large) return *number;
  std::string limits = "finite";
  if (std::isfinite(definition.minimum)) {
    absl::StrAppend(&limits, " and ", definition.is_minimum_excluded ? "> " : ">= ", definition.minimum);
  }
  if (std::isfinite(definition.maximum)) {
    absl::StrAppend(&limits, " and ", definition.is_maximum_excluded ? "< " : "<= ", definition.maximum);
  }
  return FieldError(field, absl::StrCat("is ", *number, "; it must be ", limits));
}

absl::StatusOr<double> ResolveChoice(const ParameterDefinition& definition, const ParameterValue& value,
                                     const std::string& field) {
  const std::string* text = std::get_if<std::string>(&value);
  std::string known;
  for (std::size_t idx = 0; definition.choices[idx] != nullptr; ++idx) {
    if (text != nullptr && *text == definition.choices[idx]) return static_cast<double>(idx);
    absl::StrAppend(&known, idx == 0 ? "" : ", ", definition.choices[idx]);
  }
  const std::string given = text != nullptr ? absl::StrCat("'", *text, "'") : absl::StrCat(std::get<double>(value));
  return FieldError(field, absl::StrCat("is ", given, "; it must be one of: ", known));
}

constexpr ParameterDefinition kBetaDefinition = {.name = "beta", .minimum = 0.0, .is_minimum_excluded = true};
constexpr ParameterDefinition kGammaDefinition = {.name = "gamma", .minimum = 0.0};

// beta and gamma are fields of their own.
std::string FieldOfParameter(const std::string& name) {
  return name == "beta" || name == "gamma" ? name : absl::StrCat("parameters.", name);
}

// The parameter's value, or nothing where it was not given.
absl::StatusOr<std::optional<double>> Resolve(const ParameterDefinition& definition, const ObjectiveRequest& request) {
  const auto given = request.parameters.find(definition.name);
  if (given == request.parameters.end()) return std::optional<double>();
  const std::string field = FieldOfParameter(definition.name);
  ASSIGN_OR_RETURN(const double value, definition.choices != nullptr ? ResolveChoice(definition, given->second, field)
                                                                     : ResolveNumber(definition, given->second, field));
  return std::optional<double>(value);
}

absl::Status CheckNames(const ObjectiveDefinition& definition, const ObjectiveRequest& request) {
  for (const auto& [name, value] : request.parameters) {
    std::string known;
    bool is_known = false;
    const auto compare = [&](const char* parameter) {
      is_known = is_known || name == parameter;
      absl::StrAppend(&known, known.empty() ? "" : ", ", parameter);
    };
    if (definition.has_beta) compare("beta");
    if (definition.has_gamma) compare("gamma");
    for (std::size_t idx = 0; idx < NumParameters(definition); ++idx) compare(definition.parameters[idx].name);
    if (is_known) continue;
    return FieldError(FieldOfParameter(name), absl::StrCat("is not a parameter of objective '", definition.name,
                                                           "', which takes ", known.empty() ? "none" : known));
  }
  return absl::OkStatus();
}

}  // namespace

std::string ShortestNumber(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

PairMargins ComputeMargins(const PairLogProbs& logps) {
  return {
      .chosen_logratio = logps.policy_chosen_logp - logps.reference_chosen_logp,
      .rejected_logratio = logps.policy_rejected_logp - logps.reference_rejected_logp,
      .policy_margin = logps.policy_chosen_logp - logps.policy_rejected_logp,
      .reference_margin = logps.reference_chosen_logp - logps.reference_rejected_logp,
  };
}

absl::StatusOr<Objective> Objective::Create(const ObjectiveRequest& request) {
  if (request.terms.empty()) return CreateTerm(request);
  if (!request.parameters.empty()) {
    return FieldError("parameters", "are given beside terms; the parameters of a weighted sum are those of its terms");
  }
  if (!request.name.empty() && request.name != "weighted_sum") {
    return FieldError("name", absl::StrCat("is '", request.name, "', and terms are given; a sum has no other name"));
  }
  Objective sum;
  for (std::size_t idx = 0; idx < request.terms.size(); ++idx) {
    const auto& [weight, term] = request.terms[idx];
    const std::string path = absl::StrCat("terms[", idx, "]");
    if (!std::isfinite(weight)) return FieldError(path + ".weight", absl::StrCat("is ", weight, "; it must be finite"));
    if (!term.terms.empty()) return FieldError(path + ".terms", "is a sum within a sum; give its terms here");
    auto created = CreateTerm(term);
    if (!created.ok()) return UnderField(path + ".objective", created.status());
    sum.terms_.emplace_back(weight, *std::move(created));
  }
  sum.SetLabel();
  return sum;
}

absl::StatusOr<Objective> Objective::CreateTerm(const ObjectiveRequest& request) {
  const auto definition = FindObjective(request.name);
  if (!definition.ok()) return UnderField("name", definition.status());
  Objective objective;
  objective.definition_ = *definition;
  objective.num_parameters_ = NumParameters(**definition);
  RETURN_IF_ERROR(CheckNames(**definition, request));
  ASSIGN_OR_RETURN(const std::optional<double> beta, Resolve(kBetaDefinition, request));
  ASSIGN_OR_RETURN(const std::optional<double> gamma, Resolve(kGammaDefinition, request));
  objective.beta_ = (*definition)->has_beta ? beta.value_or((*definition)->default_beta) : 1.0;
  objective.gamma_ = (*definition)->has_gamma ? gamma.value_or(objective.beta_) : 0.0;
  for (std::size_t idx = 0; idx < objective.num_parameters_; ++idx) {
    const ParameterDefinition& parameter = (*definition)->parameters[idx];
    ASSIGN_OR_RETURN(const std::optional<double> value, Resolve(parameter, request));
    objective.parameters_[idx] = value.value_or(parameter.default_value);
  }
  if ((*definition)->has_divergence) {
    double* old_coefficient = &objective.parameters_[objective.num_parameters_ - 1];
    if (!std::isnan(*old_coefficient)) {
      if (request.parameters.contains(kAlphaCoefficient.name)) {
        return FieldError(
            absl::StrCat("parameters.", kOldAlphaCoefficient.name),
            absl::StrCat("is given beside ", kAlphaCoefficient.name, ", which it is one minus; give one"));
      }
      *(old_coefficient - 1) = 1.0 - *old_coefficient;
    }
  }
  objective.SetLabel();
  return objective;
}

void Objective::SetLabel() {
  label_.clear();
  if (definition_ == nullptr) {
    for (const auto& [weight, term] : terms_) {
      absl::StrAppend(&label_, label_.empty() ? "" : "+", ShortestNumber(weight), "*", term.label_);
    }
    return;
  }
  label_ = definition_->name;
  const char* separator = ":";
  const auto append = [&](const char* name, const std::string& value) {
    absl::StrAppend(&label_, separator, name, "=", value);
    separator = ",";
  };
  if (definition_->has_beta) append("beta", ShortestNumber(beta_));
  if (definition_->has_gamma) append("gamma", ShortestNumber(gamma_));
  for (std::size_t idx = 0; idx < num_parameters_; ++idx) {  // only what differs from its default
    const ParameterDefinition& parameter = definition_->parameters[idx];
    const double value = parameters_[idx];
    if (value == parameter.default_value || std::isnan(value)) continue;
    append(parameter.name,
           parameter.choices != nullptr ? parameter.choices[static_cast<std::size_t>(value)] : ShortestNumber(value));
  }
}

std::string Objective::name() const { return definition_ == nullptr ? "weighted_sum" : definition_->name; }

double Objective::beta() const { return definition_ == nullptr ? terms_.front().second.beta() : beta_; }
double Objective::gamma() const { return definition_ == nullptr ? terms_.front().second.gamma() : gamma_; }

Objective Objective::WithBetaGamma(double beta, double gamma) const {
  Objective other = *this;
  for (auto& [weight, term] : other.terms_) term = term.WithBetaGamma(beta, gamma);
  if (definition_ != nullptr) {
    if (definition_->has_beta) other.beta_ = beta;
    if (definition_->has_gamma) other.gamma_ = gamma;
  }
  other.SetLabel();
  return other;
}

unsigned Objective::needs() const {
  if (definition_ != nullptr) return definition_->needs;
  unsigned needs = kNothing;
  for (const auto& [weight, term] : terms_) needs |= term.needs();
  return needs;
}

bool Objective::is_per_token() const {
  return definition_ == nullptr ? terms_.front().second.is_per_token() : definition_->is_per_token;
}

bool Objective::is_batch() const {
  if (definition_ != nullptr) return definition_->prepare_batch != nullptr;
  return std::any_of(terms_.begin(), terms_.end(), [](const auto& term) { return term.second.is_batch(); });
}

absl::Status Objective::CheckPair(const PairInputs& pair) const {
  const unsigned needs = this->needs();
  const auto check = [&](const char* field, double value, bool is_valid, const char* limit) {
    if (is_valid) return absl::OkStatus();
    if (std::isnan(value)) return FieldError(field, absl::StrCat("is not known; objective '", name(), "' needs it"));
    return FieldError(field, absl::StrCat("is ", value, "; objective '", name(), "' needs it ", limit));
  };
  const auto check_logp = [&](const char* field, double logp) {
    return check(field, logp, std::isfinite(logp) && logp <= 0, "finite and <= 0");
  };
  const auto check_length = [&](const char* field, double length) {
    return check(field, length, length >= 1 && std::isfinite(length), ">= 1");
  };
  RETURN_IF_ERROR(check_logp("logps.policy_chosen_logp", pair.logps.policy_chosen_logp));
  RETURN_IF_ERROR(check_logp("logps.policy_rejected_logp", pair.logps.policy_rejected_logp));
  if (needs & kReference) {
    RETURN_IF_ERROR(check_logp("logps.reference_chosen_logp", pair.logps.reference_chosen_logp));
    RETURN_IF_ERROR(check_logp("logps.reference_rejected_logp", pair.logps.reference_rejected_logp));
  }
  if (needs & kChosenLength) RETURN_IF_ERROR(check_length("num_chosen_tokens", pair.num_chosen_tokens));
  if (needs & kRejectedLength) RETURN_IF_ERROR(check_length("num_rejected_tokens", pair.num_rejected_tokens));
  if (needs & kGap) {
    RETURN_IF_ERROR(
        check("score_gap", pair.score_gap, pair.score_gap > 0 && std::isfinite(pair.score_gap), "finite and > 0"));
  }
  if (needs & kHeads) {
    RETURN_IF_ERROR(check_logp("token_logps.policy_chosen", pair.head_logps.policy_chosen_logp));
    RETURN_IF_ERROR(check_logp("token_logps.policy_rejected", pair.head_logps.policy_rejected_logp));
    if (needs & kReference) {
      RETURN_IF_ERROR(check_logp("token_logps.reference_chosen", pair.head_logps.reference_chosen_logp));
      RETURN_IF_ERROR(check_logp("token_logps.reference_rejected", pair.head_logps.reference_rejected_logp));
    }
  }
  return absl::OkStatus();
}

void Objective::Evaluate(const PairColumns& pairs, const ObjectiveColumns& values, BatchState* state) const {
  if (definition_ == nullptr) return EvaluateSum(terms_, pairs, values, state);
  const auto parameters = KernelParameters();
  if (definition_->prepare_batch == nullptr) return EvaluatePairs(*definition_, parameters, pairs, values);
  EvaluateBatch(*definition_, parameters, pairs, values, state);
}

void Objective::EvaluateFast(const PairColumns& pairs, double* loss, double* logit, double* d_loss_d_policy_chosen_logp,
                             double* d_loss_d_policy_rejected_logp) const {
  const FastOutput values = {loss, logit, d_loss_d_policy_chosen_logp, d_loss_d_policy_rejected_logp};
  if (definition_ == nullptr) return EvaluateSumFast(terms_, pairs, values);
  EvaluatePairsFast(*definition_, KernelParameters(), pairs, values);
}

std::array<double, kNumKernelParameters> Objective::KernelParameters() const {
  std::array<double, kNumKernelParameters> parameters{};
  parameters[kBeta] = beta_;
  parameters[kGamma] = gamma_;
  std::copy(parameters_.begin(), parameters_.begin() + num_parameters_, parameters.begin() + kOwn);
  return parameters;
}

std::vector<ObjectiveValue> Evaluate(const Objective& objective, std::span<const PairInputs> pairs, BatchState* state) {
  constexpr double PairLogProbs::*kLogps[] = {&PairLogProbs::policy_chosen_logp, &PairLogProbs::policy_rejected_logp,
                                              &PairLogProbs::reference_chosen_logp,
                                              &PairLogProbs::reference_rejected_logp};
  constexpr double ObjectiveValue::*kValues[kNumObjectiveColumns] = {&ObjectiveValue::loss,
                                                                     &ObjectiveValue::logit,
                                                                     &ObjectiveValue::chosen_reward,
                                                                     &ObjectiveValue::rejected_reward,
                                                                     &ObjectiveValue::required_margin,
                                                                     &ObjectiveValue::effective_margin,
                                                                     &ObjectiveValue::gradient_weight,
                                                                     &ObjectiveValue::d_loss_d_policy_chosen_logp,
                                                                     &ObjectiveValue::d_loss_d_policy_rejected_logp,
                                                                     &ObjectiveValue::d_loss_d_beta,
                                                                     &ObjectiveValue::d_loss_d_gamma};

  std::vector<ObjectiveValue> values(pairs.size());
  // Independent pairs go block by block; a batch must be seen whole.
  const std::size_t block_size = objective.is_batch() ? pairs.size() : std::min(pairs.size(), kPairsPerBlock);
  std::vector<double> memory(block_size * (std::size_t{kNumPairColumns} + std::size_t{kNumObjectiveColumns}));
  for (std::size_t begin = 0; begin < pairs.size(); begin += block_size) {
    const std::size_t count = std::min(block_size, pairs.size() - begin);
    PairColumns inputs{.num_pairs = count};
    ObjectiveColumns outputs;
    double* column = memory.data();
    const auto fill = [&](int which, auto read) {
      for (std::size_t i = 0; i < count; ++i) column[i] = read(pairs[begin + i]);
      inputs.columns[which] = column;
      column += block_size;
    };
    for (int which = 0; which < 4; ++which) {
      fill(kPolicyChosenLogp + which, [&](const PairInputs& pair) { return pair.logps.*kLogps[which]; });
      fill(kPolicyChosenHeadLogp + which, [&](const PairInputs& pair) { return pair.head_logps.*kLogps[which]; });
    }
    fill(kNumChosenTokens, [](const PairInputs& pair) { return pair.num_chosen_tokens; });
    fill(kNumRejectedTokens, [](const PairInputs& pair) { return pair.num_rejected_tokens; });
    fill(kScoreGap, [](const PairInputs& pair) { return pair.score_gap; });
    for (double*& output : outputs.columns) {
      output = column;
      column += block_size;
    }
    objective.Evaluate(inputs, outputs, state);
    for (std::size_t which = 0; which < kNumObjectiveColumns; ++which) {
      for (std::size_t i = 0; i < count; ++i) values[begin + i].*kValues[which] = outputs.columns[which][i];
    }
  }
  return values;
}

}  // namespace prefscore
