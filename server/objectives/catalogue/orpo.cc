// SPDX-License-Identifier: Apache-2.0
// ORPO: no reference; the chosen completion's negative log-prob per token, and the odds ratio of the two completions.
//
//   odds(p) = exp(p) / (1 - exp(p)) of a log-prob per token p
//   o = log odds(pc/lc) - log odds(pr/lr),  loss = -pc/lc + beta * softplus(-o);  logit and effective margin: o
//
// J. Hong et al., "ORPO: Monolithic Preference Optimization without Reference Model", arXiv 2403.07691. The first term
// is over the completion alone, as in the paper; TRL's ORPOTrainer takes it over prompt and completion.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

// log(exp(p) / (1 - exp(p))). A certain token, p = 0, is taken as one that is certain but for 1e-300: the loss and its
// slopes have their limits there.
template <int N>
PREFSCORE_INLINE Dual<N> LogOdds(const Dual<N>& p) {
  const double bounded = p.value < -1e-300 ? p.value : -1e-300;
  return Chain(bounded - Log1mExp(bounded), -1.0 / Expm1(bounded), p);
}

struct OrpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "orpo",
      .formula = "-pc/lc + beta softplus(-o), o = log odds(pc/lc) - log odds(pr/lr)",
      .source = "ORPO, arXiv 2403.07691",
      .needs = kLengths,
      .has_gamma = false,
      .is_per_token = true,
      .beta_source = "TRL's ORPOConfig",
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto o = LogOdds(pair.MeanPolicyChosen()) - LogOdds(pair.MeanPolicyRejected());
    const auto loss = pair.ChosenNll() + pair.Beta() * Softplus(-o);
    return Outcome<Pair::N>{loss, o.value, 0.0, o.value};
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(OrpoObjective)
