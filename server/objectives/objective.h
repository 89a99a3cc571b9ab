// SPDX-License-Identifier: Apache-2.0
// Preference objectives as pure functions of log-probabilities. Doubles in, structs out: no torch, no gRPC, no threads.
//
// An objective is a name of the registry (registry.h) with its parameters, or a weighted sum of such. Each has a file
// of its own in catalogue/, which opens with its formula. Immutable; thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/objectives/definition.h"
#include "server/objectives/pair_columns.h"

namespace prefscore {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// The four log-probabilities of a pair: nats, each summed over the completion's tokens given the prompt.
struct PairLogProbs {
  double policy_chosen_logp = 0;
  double policy_rejected_logp = 0;
  double reference_chosen_logp = 0;    // kUnknown where no reference was asked
  double reference_rejected_logp = 0;  // likewise
};

// All that objectives may want to know of a pair; kUnknown where it is not known.
struct PairInputs {
  PairLogProbs logps;
  double num_chosen_tokens = kUnknown;
  double num_rejected_tokens = kUnknown;
  double score_gap = kUnknown;
  PairLogProbs head_logps = {kUnknown, kUnknown, kUnknown, kUnknown};  // over the first tokens, see pair_columns.h
};

struct PairMargins {
  double chosen_logratio;    // log policy(y+)/reference(y+)
  double rejected_logratio;  // log policy(y-)/reference(y-)
  double policy_margin;      // h
  double reference_margin;   // h0
};

PairMargins ComputeMargins(const PairLogProbs& logps);

// An objective's values for one pair; see ObjectiveColumn.
struct ObjectiveValue {
  double loss;
  double logit;
  double chosen_reward;
  double rejected_reward;
  double required_margin;
  double effective_margin;
  double gradient_weight;
  double d_loss_d_policy_chosen_logp;
  double d_loss_d_policy_rejected_logp;
  double d_loss_d_beta;
  double d_loss_d_gamma;
};

// The shortest text that reads back to the same double.
std::string ShortestNumber(double value);

// An objective as a caller names it.
struct ObjectiveRequest {
  std::string name;  // of the registry; empty or "weighted_sum" where there are terms
  std::map<std::string, std::variant<double, std::string>> parameters = {};  // beta and gamma among them
  std::vector<std::pair<double, ObjectiveRequest>> terms = {};               // weight and objective: a weighted sum
};

// What a batch objective found out about its batch, by name; part of it is the state for the next batch.
using BatchState = std::map<std::string, double>;

class Objective {
 public:
  // A FieldError that names "name", "beta", "gamma", "parameters.NAME" or "terms[i]...." with value and limit.
  static absl::StatusOr<Objective> Create(const ObjectiveRequest& request);

  // "sigmoid:beta=0.1,gamma=0.05"; "0.8*sigmoid:...+0.2*bco_pair:..." for a weighted sum.
  const std::string& label() const { return label_; }
  // The registry's name; "weighted_sum" for one.
  std::string name() const;

  // Values in the order of the definition's parameters; a choice is its position, what is unset NaN. Empty for a
  // weighted sum.
  std::span<const double> parameters() const { return {parameters_.data(), num_parameters_}; }
  const ObjectiveDefinition* definition() const { return definition_; }  // null for a weighted sum
  std::span<const std::pair<double, Objective>> terms() const { return terms_; }

  // Weight of the policy's log-probs in the rewards and of the reference's; for a weighted sum those of its first term.
  double beta() const;
  double gamma() const;

  // The same objective at other weights, both >= 0 and finite; terms all get them. What has no beta or gamma stays.
  Objective WithBetaGamma(double beta, double gamma) const;

  unsigned needs() const;  // of Need
  bool needs_reference() const { return (needs() & kReference) != 0; }
  // Margins are per token; of a sum its first term's.
  bool is_per_token() const;
  // Pairs are not independent: the value of one depends on the others of its batch.
  bool is_batch() const;

  // What this objective needs and the pair lacks or has out of range, as a FieldError whose field is a pair's.
  absl::Status CheckPair(const PairInputs& pair) const;

  // All values of all pairs. REQUIRES: the columns that CheckPair asks for. Where an objective is_batch, the pairs are
  // the batch; what it found out about it goes to `state` unless null.
  void Evaluate(const PairColumns& pairs, const ObjectiveColumns& values, BatchState* state = nullptr) const;

  // Loss, logit and the two derivatives by log-probs only, the logit in plain double arithmetic: for sweeps.
  // REQUIRES: not is_batch.
  void EvaluateFast(const PairColumns& pairs, double* loss, double* logit, double* d_loss_d_policy_chosen_logp,
                    double* d_loss_d_policy_rejected_logp) const;

 private:
  Objective() = default;
  static absl::StatusOr<Objective> CreateTerm(const ObjectiveRequest& request);
  void SetLabel();
  std::array<double, kNumKernelParameters> KernelParameters() const;

  const ObjectiveDefinition* definition_ = nullptr;
  double beta_ = 1;
  double gamma_ = 0;
  std::array<double, kMaxParameters> parameters_{};
  std::size_t num_parameters_ = 0;
  std::vector<std::pair<double, Objective>> terms_;
  std::string label_;
};

// The values of each pair. REQUIRES: each pair passes CheckPair.
std::vector<ObjectiveValue> Evaluate(const Objective& objective, std::span<const PairInputs> pairs,
                                     BatchState* state = nullptr);

}  // namespace prefscore
