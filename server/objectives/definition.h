// SPDX-License-Identifier: Apache-2.0
// What the registry knows of an objective. Plain data, no library: catalogue files are compiled once per instruction
// set.
#pragma once

#include <stddef.h>

#include "server/objectives/pair_columns.h"

namespace prefscore {

inline constexpr double kUnset = __builtin_nan("");
inline constexpr double kUnbounded = __builtin_inf();
inline constexpr double kDefaultBeta = 0.1;  // TRL's DPOConfig

// A parameter beside beta and gamma: a finite number of an interval, or one of some choices.
struct ParameterDefinition {
  const char* name = nullptr;
  double default_value = 0;  // kUnset: has none, the meaning tells what its absence means
  double minimum = -kUnbounded;
  double maximum = kUnbounded;
  bool is_minimum_excluded = false;
  bool is_maximum_excluded = false;
  const char* meaning = nullptr;
  const char* source = nullptr;          // where name and default come from
  const char* const* choices = nullptr;  // null-terminated; the value is the position
};

inline constexpr size_t kMaxParameters = 8;

// Where a kernel finds its parameters. Own ones follow in the order of the definition, then what prepare_batch found.
inline constexpr size_t kBeta = 0;
inline constexpr size_t kGamma = 1;
inline constexpr size_t kOwn = 2;
inline constexpr size_t kBatch = kOwn + kMaxParameters;
inline constexpr size_t kNumKernelParameters = kBatch + 2;

// What an objective needs of a pair beside the policy's log-probs.
enum Need : unsigned {
  kNothing = 0,
  kReference = 1u << 0,
  kChosenLength = 1u << 1,
  kRejectedLength = 1u << 2,
  kLengths = kChosenLength | kRejectedLength,
  kGap = 1u << 3,
  kHeads = 1u << 4,  // log-probs of the first tokens; the reference's too where kReference is needed
};

// A block of pairs on its way through a kernel, [num_pairs] each. All pointers are valid; what a pair lacks reads as 0.
struct KernelInput {
  const double* pairs[kNumPairColumns];
  // Exact to the last bit (kernels/rewards.h): logit z, and both rewards as unevaluated sums of two doubles.
  const double* logit;
  const double* chosen_reward;
  const double* chosen_reward_low;
  const double* rejected_reward;
  const double* rejected_reward_low;
  const double* parameters;  // [kNumKernelParameters]
  size_t num_pairs;
};

struct FastOutput {
  double* loss;
  double* logit;
  double* by_policy_chosen;
  double* by_policy_rejected;
};

// One objective's loops, for one instruction set.
struct ObjectiveKernels {
  void (*evaluate)(const KernelInput& input, double* const* values);          // [kNumObjectiveColumns][num_pairs]
  void (*evaluate_fast)(const KernelInput& input, const FastOutput& values);  // reads no rewards, see Objective
};

// How a batch objective looks at its batch before its pairs are evaluated one by one.
struct BatchView {
  size_t num_pairs;
  const double* logits;             // [num_pairs] z
  const double* chosen_rewards;     // [num_pairs]
  const double* rejected_rewards;   // [num_pairs]
  const double* policy_margins;     // [num_pairs] h
  const double* reference_margins;  // [num_pairs] h0
  const double* parameters;         // [kNumKernelParameters]
};

struct BatchPlan {
  double* found;              // [2] parameters[kBatch...] for the kernel
  size_t* reference_of_pair;  // [num_pairs] whose reference log-probs a pair is compared with; itself at first
  size_t* rejected_of_pair;   // [num_pairs] whose rejected completion; itself at first
  double* weights;            // [num_pairs] factor of the pair's loss and derivatives; 1 at first
  // partners[i] = the pair whose `ys` has the rank, ascending, that pair i has among the `xs`; equal ones keep their
  // order.
  void (*match_by_rank)(const double* xs, const double* ys, size_t count, size_t* partners);
  // values[i] becomes 1 where it is among the `num_marked` smallest (of equal ones, the first), else 0.
  void (*mark_smallest)(double* values, size_t count, size_t num_marked);
  void (*report)(void* context, const char* name, double value);  // what the caller may want to know
  void* context;
};

struct ObjectiveDefinition {
  const char* name = nullptr;
  const char* formula = nullptr;  // in the terms of server/objectives/README.md
  const char* source = nullptr;   // paper or project
  unsigned needs = kReference;
  bool has_beta = true;
  bool has_gamma = true;
  bool is_per_token = false;  // margins are per token: log-probs are averaged
  double default_beta = kDefaultBeta;
  const char* beta_source = "TRL's DPOConfig";
  bool has_divergence = false;  // the last own parameters are kDivergenceParameters (parameters.h)
  ParameterDefinition parameters[kMaxParameters] = {};  // those with a name
  // Replaces the log-probs that the objective is about: [4][num_pairs], in the order of PairColumn. Null: as they are.
  void (*replace_logps)(const KernelInput& input, double* const* logps) = nullptr;
  void (*prepare_batch)(const BatchView& batch, const BatchPlan& plan) = nullptr;  // null: pairs are independent
};

constexpr size_t NumParameters(const ObjectiveDefinition& definition) {
  size_t count = 0;
  while (count < kMaxParameters && definition.parameters[count].name != nullptr) ++count;
  return count;
}

}  // namespace prefscore
