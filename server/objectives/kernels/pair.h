// SPDX-License-Identifier: Apache-2.0
// A pair as a formula reads it: log-probs, rewards, margins and lengths as numbers that carry their derivatives.
//
//   rewards   R+ = beta*pc - gamma*rc,  R- = beta*pr - gamma*rr;  logit z = R+ - R-
//   scores    s(R+/beta), s(R-/beta): with the reverse KL divergence s(x) = x, and at gamma = beta the log-ratios
//
// The variables of the derivatives, in order: pc, pr, beta, gamma; in the fast form only pc, pr.
#pragma once

#include "server/objectives/definition.h"
#include "server/objectives/kernels/dual.h"
#include "server/objectives/parameters.h"

namespace prefscore {
namespace {

template <int N>
PREFSCORE_INLINE Dual<N> Variable(double value, double by_chosen, double by_rejected, double by_beta,
                                  double by_gamma) {
  Dual<N> dual;
  dual.value = value;
  dual.by[0] = by_chosen;
  dual.by[1] = by_rejected;
  if constexpr (N > 2) {
    dual.by[2] = by_beta;
    dual.by[3] = by_gamma;
  }
  return dual;
}

// The same derivatives at a value that was found in a more exact way.
template <int N>
PREFSCORE_INLINE Dual<N> WithValue(const Dual<N>& x, double value) {
  Dual<N> result = x;
  result.value = value;
  return result;
}

template <int N, DivergenceType kDivergence>
struct Pair {
  static constexpr int kNumVariables = N;

  double beta, gamma;
  double policy_chosen_logp, policy_rejected_logp, reference_chosen_logp, reference_rejected_logp;
  double num_chosen_tokens, num_rejected_tokens;
  double score_gap;
  double alpha_coefficient;  // of alpha_divergence
  double z;
  double chosen_reward, chosen_reward_low;  // an unevaluated sum of two
  double rejected_reward, rejected_reward_low;

  PREFSCORE_INLINE double ReferenceMargin() const { return reference_chosen_logp - reference_rejected_logp; }

  PREFSCORE_INLINE Dual<N> PolicyChosen() const { return Variable<N>(policy_chosen_logp, 1, 0, 0, 0); }
  PREFSCORE_INLINE Dual<N> PolicyRejected() const { return Variable<N>(policy_rejected_logp, 0, 1, 0, 0); }
  PREFSCORE_INLINE Dual<N> Beta() const { return Variable<N>(beta, 0, 0, 1, 0); }
  PREFSCORE_INLINE Dual<N> Gamma() const { return Variable<N>(gamma, 0, 0, 0, 1); }

  // h
  PREFSCORE_INLINE Dual<N> PolicyMargin() const {
    return Variable<N>(policy_chosen_logp - policy_rejected_logp, 1, -1, 0, 0);
  }
  // pc/lc and pr/lr
  PREFSCORE_INLINE Dual<N> MeanPolicyChosen() const { return PolicyChosen() / num_chosen_tokens; }
  PREFSCORE_INLINE Dual<N> MeanPolicyRejected() const { return PolicyRejected() / num_rejected_tokens; }
  // -pc/lc, the negative log-likelihood of a chosen token
  PREFSCORE_INLINE Dual<N> ChosenNll() const { return -MeanPolicyChosen(); }

  PREFSCORE_INLINE Dual<N> ChosenReward() const {
    return Variable<N>(chosen_reward, beta, 0, policy_chosen_logp, -reference_chosen_logp);
  }
  PREFSCORE_INLINE Dual<N> RejectedReward() const {
    return Variable<N>(rejected_reward, 0, beta, policy_rejected_logp, -reference_rejected_logp);
  }

  // The score of a completion from its reward: s(reward / beta).
  PREFSCORE_INLINE Dual<N> Score(const Dual<N>& reward, double reference_logp) const {
    Dual<N> x = reward / beta;  // by pc or pr: 1
    if constexpr (N > 2) {
      x.by[2] = gamma * reference_logp / (beta * beta);
      x.by[3] = -reference_logp / beta;
    }
    if constexpr (kDivergence == kForwardKl) {  // 1 - exp(-x)
      const double fall = Expm1(-x.value);
      return Chain(-fall, 1.0 + fall, x);
    } else if constexpr (kDivergence == kJsDivergence) {  // log 2 + log sigmoid(x), in a form that is exact near 0
      const double half = 0.5 * Expm1(-Abs(x.value));
      const double q = 1.0 / (2.0 + 2.0 * half);
      const double slope = x.value >= 0 ? (1.0 + 2.0 * half) * q : q;  // sigmoid(-x)
      return Chain((x.value < 0 ? x.value : 0.0) - Log1p(half), slope, x);
    } else if constexpr (kDivergence == kAlphaDivergence) {  // (exp((C-1)x) - 1) / (C-1)
      const double c = alpha_coefficient - 1.0;
      return Chain(Expm1(c * x.value) / c, Exp(c * x.value), x);
    } else {
      return x;
    }
  }
  PREFSCORE_INLINE Dual<N> ChosenScore() const { return Score(ChosenReward(), reference_chosen_logp); }
  PREFSCORE_INLINE Dual<N> RejectedScore() const { return Score(RejectedReward(), reference_rejected_logp); }

  // beta times the difference of the scores: z, with the reverse KL divergence.
  PREFSCORE_INLINE Dual<N> Logit() const {
    if constexpr (kDivergence == kReverseKl) {
      return Variable<N>(z, beta, -beta, policy_chosen_logp - policy_rejected_logp, -ReferenceMargin());
    } else {
      return Beta() * (ChosenScore() - RejectedScore());
    }
  }
  // The same with each score divided by its completion's tokens.
  PREFSCORE_INLINE Dual<N> MeanLogit() const {
    if constexpr (kDivergence == kReverseKl) {
      Dual<N> mean = ChosenReward() / num_chosen_tokens - RejectedReward() / num_rejected_tokens;
      mean.value = DifferenceOfMeans();
      return mean;
    } else {
      return Beta() * (ChosenScore() / num_chosen_tokens - RejectedScore() / num_rejected_tokens);
    }
  }

 private:
  // R+/lc - R-/lr in doubled precision: the two may cancel in all but their last bits.
  PREFSCORE_INLINE double DifferenceOfMeans() const {
    const double chosen = chosen_reward / num_chosen_tokens;
    const double chosen_low =
        (__builtin_fma(-chosen, num_chosen_tokens, chosen_reward) + chosen_reward_low) / num_chosen_tokens;
    const double rejected = rejected_reward / num_rejected_tokens;
    const double rejected_low =
        (__builtin_fma(-rejected, num_rejected_tokens, rejected_reward) + rejected_reward_low) / num_rejected_tokens;
    const double sum = chosen - rejected;
    const double shadow = sum - chosen;
    const double error = (chosen - (sum - shadow)) - (rejected + shadow);
    return sum + (error + (chosen_low - rejected_low));
  }
};

}  // namespace
}  // namespace prefscore
