// SPDX-License-Identifier: Apache-2.0
// DPO's loss: Rafailov et al., "Direct Preference Optimization", arXiv 2305.18290. gamma apart from beta and the margin
// form: Kyunghyun Cho, "Continued musing on DPO".
//
//   h  = policy_chosen_logp    - policy_rejected_logp
//   h0 = reference_chosen_logp - reference_rejected_logp
//   z  = beta*h - gamma*h0
//   sigmoid       log(1 + exp(-z)), the negative log-probability of "chosen is preferred"
//   margin_hinge  max(0, -z), its limit for large |z|: zero from h >= (gamma/beta)*h0 on
#include "server/objectives/objective.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/objectives/exact_sum.h"

namespace prefscore {
namespace {

// log(1 + exp(x)) without overflow, and exact for x -> -inf.
double Softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

double Sigmoid(double x) {
  const double e = std::exp(-std::fabs(x));
  return x >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
}

}  // namespace

PairMargins ComputeMargins(const PairLogProbs& logps) {
  return {
      .chosen_logratio = logps.policy_chosen_logp - logps.reference_chosen_logp,
      .rejected_logratio = logps.policy_rejected_logp - logps.reference_rejected_logp,
      .policy_margin = logps.policy_chosen_logp - logps.policy_rejected_logp,
      .reference_margin = logps.reference_chosen_logp - logps.reference_rejected_logp,
  };
}

ObjectiveValue Evaluate(const Objective& objective, const PairLogProbs& logps) {
  const double beta = objective.beta;
  const double gamma = objective.gamma;
  // beta*h and gamma*h0 may cancel in all but their last bits, and what z loses, every number made of it loses.
  const Product policy_chosen = {beta, logps.policy_chosen_logp};
  const Product policy_rejected = {-beta, logps.policy_rejected_logp};
  const Product reference_chosen = {-gamma, logps.reference_chosen_logp};
  const Product reference_rejected = {gamma, logps.reference_rejected_logp};
  const double z = SumOfProducts<4>({policy_chosen, policy_rejected, reference_chosen, reference_rejected});

  ObjectiveValue value{};
  value.logit = z;
  value.chosen_reward = SumOfProducts<2>({policy_chosen, reference_chosen});
  value.rejected_reward = -SumOfProducts<2>({policy_rejected, reference_rejected});
  value.required_margin = gamma / beta * (logps.reference_chosen_logp - logps.reference_rejected_logp);
  value.gradient_weight = Sigmoid(-z);
  switch (objective.kind) {
    case ObjectiveKind::kSigmoid: value.loss = Softplus(-z); break;
    case ObjectiveKind::kMarginHinge: value.loss = z < 0 ? -z : 0.0; break;
  }
  return value;
}

absl::Status Validate(const Objective& objective) {
  if (!std::isfinite(objective.beta) || objective.beta <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("beta is ", objective.beta, "; it must be finite and > 0"));
  }
  if (!std::isfinite(objective.gamma) || objective.gamma < 0) {
    return absl::InvalidArgumentError(absl::StrCat("gamma is ", objective.gamma, "; it must be finite and >= 0"));
  }
  return absl::OkStatus();
}

const char* ObjectiveName(ObjectiveKind kind) {
  switch (kind) {
    case ObjectiveKind::kSigmoid: return "sigmoid";
    case ObjectiveKind::kMarginHinge: return "margin_hinge";
  }
  return "";
}

absl::StatusOr<ObjectiveKind> ParseObjectiveName(const std::string& name) {
  for (const ObjectiveKind kind : {ObjectiveKind::kSigmoid, ObjectiveKind::kMarginHinge}) {
    if (name == ObjectiveName(kind)) return kind;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("objective name is '", name, "'; known names: sigmoid, margin_hinge"));
}

}  // namespace prefscore
