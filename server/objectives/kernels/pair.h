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
PREFSCORE_INLINE Dual<N> Variable(double value, double by_chosen, double by_rejected, double by_beta, double by_gamma) {
  Dual<N> dual;
  dual.value = value;
  dual.by[0] = by_chosen;
  dual.by[1] = by_rejected;
  if constexpr (kHasWeights<N>) {
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

template <int kVariables, DivergenceType kDivergence>
struct Pair {
  // Forward KL and alpha divergences are of one family, s(x) = (exp(c*x) - 1) / c, with c = -1 and alpha - 1. Where x
  // is a log-ratio of a thousand nats, they overflow.
  static constexpr bool kIsExponential = kDivergence == kForwardKl || kDivergence == kAlphaDivergence;
  static constexpr int N = kVariables > 2 && kIsExponential ? kVariables + kGuarded : kVariables;

  double beta, gamma;
  double policy_chosen_logp, policy_rejected_logp, reference_chosen_logp, reference_rejected_logp;
  double num_chosen_tokens, num_rejected_tokens;
  double score_gap;
  double alpha_coefficient;  // of alpha_divergence
  double z;
  double chosen_reward, chosen_reward_low;  // an unevaluated sum of two
  double rejected_reward, rejected_reward_low;

  PREFSCORE_INLINE double ReferenceMargin() const { return reference_chosen_logp - reference_rejected_logp; }

  PREFSCORE_INLINE double MeanReferenceMargin() const {
    return reference_chosen_logp / num_chosen_tokens - reference_rejected_logp / num_rejected_tokens;
  }

  PREFSCORE_INLINE Dual<N> PolicyChosen() const { return Variable<N>(policy_chosen_logp, 1, 0, 0, 0); }
  PREFSCORE_INLINE Dual<N> PolicyRejected() const { return Variable<N>(policy_rejected_logp, 0, 1, 0, 0); }
  PREFSCORE_INLINE Dual<N> Beta() const { return Variable<N>(beta, 0, 0, 1, 0); }
  // 1 / (2 * beta)
  PREFSCORE_INLINE Dual<N> HalfOverBeta() const {
    return Variable<N>(0.5 / beta, 0, 0, -0.5 / (beta * beta), 0);
  }

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

  // The scores of both completions, and beta times their difference: z, with the reverse KL divergence.
  PREFSCORE_INLINE Dual<N> ChosenScore() const { return Score(ChosenArgument()); }
  PREFSCORE_INLINE Dual<N> RejectedScore() const { return Score(RejectedArgument()); }
  PREFSCORE_INLINE Dual<N> Logit() const {
    if constexpr (kDivergence == kReverseKl) {
      return Variable<N>(z, beta, -beta, policy_chosen_logp - policy_rejected_logp, -ReferenceMargin());
    } else if constexpr (kIsExponential) {
      const ScaledDifference difference = Difference(1.0, 1.0);
      return WithLogpSlopes(difference.scale * (Beta() * difference.scaled), Beta() * ScoreDifference());
    } else {
      return Beta() * (ChosenScore() - RejectedScore());
    }
  }
  // The difference of the scores. Its value is better taken from Logit.
  PREFSCORE_INLINE Dual<N> ScoreDifference() const {
    const Dual<N> plain = ChosenScore() - RejectedScore();
    if constexpr (kIsExponential) {
      const ScaledDifference difference = Difference(1.0, 1.0);
      return WithLogpSlopes(difference.scale * difference.scaled, plain);
    }
    return plain;
  }

  // The same with each score divided by its completion's tokens.
  PREFSCORE_INLINE Dual<N> MeanLogit() const {
    if constexpr (kDivergence == kReverseKl) {
      Dual<N> mean = ChosenReward() / num_chosen_tokens - RejectedReward() / num_rejected_tokens;
      mean.value = DifferenceOfMeans();
      return mean;
    } else if constexpr (kIsExponential) {
      const ScaledDifference difference = Difference(num_chosen_tokens, num_rejected_tokens);
      const Dual<N> plain = Beta() * MeanScoreDifference();
      if (difference.scale < kLargeScale) return plain;
      return WithLogpSlopes(difference.scale * (Beta() * difference.scaled), plain);
    } else {
      return Beta() * MeanScoreDifference();
    }
  }
  // The difference of the means of the scores. Its value is better taken from MeanLogit.
  PREFSCORE_INLINE Dual<N> MeanScoreDifference() const {
    const Dual<N> plain = ChosenScore() / num_chosen_tokens - RejectedScore() / num_rejected_tokens;
    if constexpr (kIsExponential) {
      const ScaledDifference difference = Difference(num_chosen_tokens, num_rejected_tokens);
      if (difference.scale >= kLargeScale) return WithLogpSlopes(difference.scale * difference.scaled, plain);
    }
    return plain;
  }

 private:
  // x = reward / beta, the argument of a score.
  PREFSCORE_INLINE Dual<N> ScoreArgument(const Dual<N>& reward, double reference_logp) const {
    Dual<N> x = reward / beta;  // by pc or pr: 1
    if constexpr (kHasWeights<N>) {
      x.by[2] = gamma * reference_logp / (beta * beta);
      x.by[3] = -reference_logp / beta;
    }
    return x;
  }
  PREFSCORE_INLINE Dual<N> ChosenArgument() const { return ScoreArgument(ChosenReward(), reference_chosen_logp); }
  PREFSCORE_INLINE Dual<N> RejectedArgument() const { return ScoreArgument(RejectedReward(), reference_rejected_logp); }

  PREFSCORE_INLINE double Exponent() const { return kDivergence == kForwardKl ? -1.0 : alpha_coefficient - 1.0; }

  PREFSCORE_INLINE Dual<N> Score(const Dual<N>& x) const {
    if constexpr (kIsExponential) {
      return Chain(Expm1(Exponent() * x.value) / Exponent(), Exp(Exponent() * x.value), x);
    } else if constexpr (kDivergence == kJsDivergence) {  // log 2 + log sigmoid(x), in a form that is exact near 0
      const double e = Exp(-Abs(x.value));
      const double slope = (x.value >= 0 ? e : 1.0) / (1.0 + e);  // sigmoid(-x)
      return Chain((x.value < 0 ? x.value : 0.0) - Log1p(0.5 * Expm1(-Abs(x.value))), slope, x);
    } else {
      return x;
    }
  }

  // s(x) / divisor of chosen - s(y) / divisor of rejected = scale * scaled, where scale alone may overflow: right where
  // the two nearly cancel, and of the right sign where they overflow. With divisors other than 1 the constant of s is
  // left out: for a scale of kLargeScale and more. `scaled` holds no derivatives by pc and pr.
  struct ScaledDifference {
    Dual<N> scaled;
    double scale;
  };
  static constexpr double kLargeScale = 1e280;
  PREFSCORE_INLINE ScaledDifference Difference(double chosen_divisor, double rejected_divisor) const {
    const Dual<N> x = ChosenArgument();
    const Dual<N> y = RejectedArgument();
    const double c = Exponent();
    const double d = c * (z / beta);                     // c*x - c*y
    const double rise = d >= 0 ? -Expm1(-d) : Expm1(d);  // exp(c*x) - exp(c*y), over the larger of the two
    const double chosen = (d >= 0 ? 1.0 : Exp(d)) / chosen_divisor;
    const double rejected = (d >= 0 ? Exp(-d) : 1.0) / rejected_divisor;
    const bool is_close = Abs(d) < 1 && chosen_divisor == rejected_divisor;
    ScaledDifference result;
    result.scaled = Variable<N>((is_close ? rise / chosen_divisor : chosen - rejected) / c, 0, 0, 0, 0);
    for (int i = 2; i < kNumVariables<N>; ++i) {
      const double difference =  // of x.by[i] and y.by[i], without their common part
          i == 2 ? gamma * ReferenceMargin() / (beta * beta) : -ReferenceMargin() / beta;
      result.scaled.by[i] = is_close ? (difference + rise * (d >= 0 ? y.by[i] : x.by[i])) / chosen_divisor
                                     : chosen * x.by[i] - rejected * y.by[i];
    }
    result.scale = Exp(Max(c * x.value, c * y.value));
    return result;
  }
  // `number` with the derivatives of `plain` by pc and pr, which never mix two scores.
  static PREFSCORE_INLINE Dual<N> WithLogpSlopes(Dual<N> number, const Dual<N>& plain) {
    number.by[0] = plain.by[0];
    number.by[1] = plain.by[1];
    return number;
  }

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
