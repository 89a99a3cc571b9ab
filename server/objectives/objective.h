// SPDX-License-Identifier: Apache-2.0
// Preference objectives as pure functions of four log-probabilities. Doubles in, structs out: no torch, no gRPC, no
// threads, no allocation.
//
// With h = policy_chosen_logp - policy_rejected_logp, h0 the same under the reference: z = beta*h - gamma*h0.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prefscore {

// The four log-probabilities of a pair: nats, each summed over the completion's tokens given the prompt.
struct PairLogProbs {
  double policy_chosen_logp = 0;
  double policy_rejected_logp = 0;
  double reference_chosen_logp = 0;
  double reference_rejected_logp = 0;
};

struct PairMargins {
  double chosen_logratio;    // log policy(y+)/reference(y+)
  double rejected_logratio;  // log policy(y-)/reference(y-)
  double policy_margin;      // h
  double reference_margin;   // h0
};

enum class ObjectiveKind { kSigmoid, kMarginHinge };

inline constexpr double kDefaultBeta = 0.1;  // TRL's DPOConfig

struct Objective {
  ObjectiveKind kind = ObjectiveKind::kSigmoid;
  double beta = kDefaultBeta;   // > 0
  double gamma = kDefaultBeta;  // >= 0; = beta is the original DPO
};

struct ObjectiveValue {
  double loss;
  double logit;            // z
  double chosen_reward;    // beta * policy_chosen_logp - gamma * reference_chosen_logp
  double rejected_reward;  // the same for the rejected completion
  double required_margin;  // (gamma / beta) * h0
  double gradient_weight;  // sigmoid(-z)
};

PairMargins ComputeMargins(const PairLogProbs& logps);

ObjectiveValue Evaluate(const Objective& objective, const PairLogProbs& logps);

// INVALID_ARGUMENT naming field, value and limit where beta <= 0, gamma < 0 or either is not finite.
absl::Status Validate(const Objective& objective);

// "sigmoid" <-> kSigmoid. INVALID_ARGUMENT listing the known names otherwise.
const char* ObjectiveName(ObjectiveKind kind);
absl::StatusOr<ObjectiveKind> ParseObjectiveName(const std::string& name);

}  // namespace prefscore
