// SPDX-License-Identifier: Apache-2.0
// What a catalogue file includes. It defines a struct with
//
//   static constexpr ObjectiveDefinition kDefinition = {...};
//   template <typename Pair> static auto Evaluate(const Pair& pair, const double* own) -> Outcome: the formula;
//                                                 own: its own parameters, in the order of the definition
//
// and ends with PREFSCORE_OBJECTIVE(ThatStruct). The file is compiled once per instruction set.
#pragma once

#include "server/objectives/definition.h"
#include "server/objectives/kernels/dual.h"
#include "server/objectives/kernels/pair.h"
#include "server/objectives/parameters.h"

namespace prefscore {
namespace {

template <int N>
struct Outcome {
  Dual<N> loss;
  double logit;
  double required_margin;
  double effective_margin;
};

// The outcome of an objective whose logit asks for the policy margin `required_margin`.
template <typename Pair, int N>
PREFSCORE_INLINE Outcome<N> OutcomeWithMargin(const Pair& pair, const Dual<N>& loss, double logit,
                                              double required_margin) {
  return {loss, logit, required_margin, logit / pair.beta};
}

// The outcome of an objective that asks for (gamma/beta) * h0, as the reference does.
template <typename Pair, int N>
PREFSCORE_INLINE Outcome<N> OutcomeOf(const Pair& pair, const Dual<N>& loss, const Dual<N>& logit) {
  return OutcomeWithMargin(pair, loss, logit.value, pair.gamma / pair.beta * pair.ReferenceMargin());
}

// The same per token.
template <typename Pair, int N>
PREFSCORE_INLINE Outcome<N> MeanOutcomeOf(const Pair& pair, const Dual<N>& loss, const Dual<N>& logit) {
  return OutcomeWithMargin(pair, loss, logit.value, pair.gamma / pair.beta * pair.MeanReferenceMargin());
}

template <typename Formula>
constexpr size_t DivergenceIndex() {
  return Formula::kDefinition.has_divergence ? kOwn + NumParameters(Formula::kDefinition) - 3 : 0;
}

template <typename Formula, DivergenceType kDivergence>
PREFSCORE_INLINE void EvaluateLoop(const KernelInput& input, double* const* values) {
  double parameters[kNumKernelParameters];
  for (size_t k = 0; k < kNumKernelParameters; ++k) parameters[k] = input.parameters[k];
  const KernelInput in = input;
  double* out[kNumObjectiveColumns];
  for (size_t k = 0; k < kNumObjectiveColumns; ++k) out[k] = values[k];
#pragma GCC ivdep
  for (size_t i = 0; i < in.num_pairs; ++i) {
    const Pair<4, kDivergence> pair = {
        .beta = parameters[kBeta],
        .gamma = parameters[kGamma],
        .policy_chosen_logp = in.pairs[kPolicyChosenLogp][i],
        .policy_rejected_logp = in.pairs[kPolicyRejectedLogp][i],
        .reference_chosen_logp = in.pairs[kReferenceChosenLogp][i],
        .reference_rejected_logp = in.pairs[kReferenceRejectedLogp][i],
        .num_chosen_tokens = in.pairs[kNumChosenTokens][i],
        .num_rejected_tokens = in.pairs[kNumRejectedTokens][i],
        .score_gap = in.pairs[kScoreGap][i],
        .alpha_coefficient = parameters[DivergenceIndex<Formula>() + 1],
        .z = in.logit[i],
        .chosen_reward = in.chosen_reward[i],
        .chosen_reward_low = in.chosen_reward_low[i],
        .rejected_reward = in.rejected_reward[i],
        .rejected_reward_low = in.rejected_reward_low[i],
    };
    const auto outcome = Formula::Evaluate(pair, parameters + kOwn);
    out[kLoss][i] = outcome.loss.value;
    out[kLogit][i] = outcome.logit;
    out[kChosenReward][i] = pair.chosen_reward;
    out[kRejectedReward][i] = pair.rejected_reward;
    out[kRequiredMargin][i] = outcome.required_margin;
    out[kEffectiveMargin][i] = outcome.effective_margin;
    out[kGradientWeight][i] = Sigmoid(-outcome.logit);
    // + 0.0: a slope of 0 has no sign.
    out[kLossByPolicyChosenLogp][i] = outcome.loss.by[0] + 0.0;
    out[kLossByPolicyRejectedLogp][i] = outcome.loss.by[1] + 0.0;
    out[kLossByBeta][i] = outcome.loss.by[2] + 0.0;
    out[kLossByGamma][i] = outcome.loss.by[3] + 0.0;
  }
}

template <typename Formula, DivergenceType kDivergence>
PREFSCORE_INLINE void EvaluateFastLoop(const KernelInput& input, const FastOutput& values) {
  double parameters[kNumKernelParameters];
  for (size_t k = 0; k < kNumKernelParameters; ++k) parameters[k] = input.parameters[k];
  const KernelInput in = input;
  const FastOutput out = values;
#pragma GCC ivdep
  for (size_t i = 0; i < in.num_pairs; ++i) {
    Pair<2, kDivergence> pair = {
        .beta = parameters[kBeta],
        .gamma = parameters[kGamma],
        .policy_chosen_logp = in.pairs[kPolicyChosenLogp][i],
        .policy_rejected_logp = in.pairs[kPolicyRejectedLogp][i],
        .reference_chosen_logp = in.pairs[kReferenceChosenLogp][i],
        .reference_rejected_logp = in.pairs[kReferenceRejectedLogp][i],
        .num_chosen_tokens = in.pairs[kNumChosenTokens][i],
        .num_rejected_tokens = in.pairs[kNumRejectedTokens][i],
        .score_gap = in.pairs[kScoreGap][i],
        .alpha_coefficient = parameters[DivergenceIndex<Formula>() + 1],
        .z = 0,
        .chosen_reward = 0,
        .chosen_reward_low = 0,
        .rejected_reward = 0,
        .rejected_reward_low = 0,
    };
    pair.chosen_reward = pair.beta * pair.policy_chosen_logp - pair.gamma * pair.reference_chosen_logp;
    pair.rejected_reward = pair.beta * pair.policy_rejected_logp - pair.gamma * pair.reference_rejected_logp;
    pair.z = pair.beta * (pair.policy_chosen_logp - pair.policy_rejected_logp) - pair.gamma * pair.ReferenceMargin();
    const auto outcome = Formula::Evaluate(pair, parameters + kOwn);
    out.loss[i] = outcome.loss.value;
    out.logit[i] = outcome.logit;
    out.by_policy_chosen[i] = outcome.loss.by[0];
    out.by_policy_rejected[i] = outcome.loss.by[1];
  }
}

// Calls `loop` with the divergence that the parameters ask for.
template <typename Formula, typename Loop>
PREFSCORE_INLINE void ForDivergence(const KernelInput& input, Loop loop) {
  if constexpr (Formula::kDefinition.has_divergence) {
    const double* parameters = input.parameters + DivergenceIndex<Formula>();
    switch (static_cast<int>(parameters[0])) {
      case kForwardKl: return loop.template operator()<kForwardKl>();
      case kJsDivergence: return loop.template operator()<kJsDivergence>();
      case kAlphaDivergence:
        if (Abs(parameters[1] - 1.0) >= 1e-6) return loop.template operator()<kAlphaDivergence>();
        break;  // as TRL: the limit of alpha = 1
      default: break;
    }
  }
  loop.template operator()<kReverseKl>();
}

template <typename Formula>
void EvaluateObjective(const KernelInput& input, double* const* values) {
  ForDivergence<Formula>(input, [&]<DivergenceType kDivergence>() __attribute__((always_inline)) {
    EvaluateLoop<Formula, kDivergence>(input, values);
  });
}

template <typename Formula>
void EvaluateObjectiveFast(const KernelInput& input, const FastOutput& values) {
  ForDivergence<Formula>(input, [&]<DivergenceType kDivergence>() __attribute__((always_inline)) {
    EvaluateFastLoop<Formula, kDivergence>(input, values);
  });
}

}  // namespace
}  // namespace prefscore

// PREFSCORE_INSTRUCTION_SET is Avx2 or Avx512; the definition goes with the first.
#define PREFSCORE_KERNELS_NAME_(Formula, Set) k##Formula##Kernels##Set
#define PREFSCORE_KERNELS_NAME(Formula, Set) PREFSCORE_KERNELS_NAME_(Formula, Set)
#define PREFSCORE_KERNELS(Formula)                                                                  \
  extern const ObjectiveKernels PREFSCORE_KERNELS_NAME(Formula, PREFSCORE_INSTRUCTION_SET);         \
  const ObjectiveKernels PREFSCORE_KERNELS_NAME(Formula, PREFSCORE_INSTRUCTION_SET) = {             \
      &EvaluateObjective<Formula>, &EvaluateObjectiveFast<Formula>};
#ifdef PREFSCORE_WITH_DEFINITION
#define PREFSCORE_OBJECTIVE(Formula)                     \
  namespace prefscore {                                  \
  PREFSCORE_KERNELS(Formula)                             \
  extern const ObjectiveDefinition k##Formula##Definition; \
  const ObjectiveDefinition k##Formula##Definition = Formula::kDefinition; \
  }
#else
#define PREFSCORE_OBJECTIVE(Formula) \
  namespace prefscore {              \
  PREFSCORE_KERNELS(Formula)         \
  }
#endif
