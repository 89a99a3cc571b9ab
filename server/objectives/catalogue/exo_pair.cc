// SPDX-License-Identifier: Apache-2.0
// EXO's pairwise loss, the reverse KL divergence between the policy's preference and the smoothed label.
//
//   loss = sigmoid(z) * [log sigmoid(z) - log(1 - eps)] + sigmoid(-z) * [log sigmoid(-z) - log eps],  eps =
//   label_smoothing
//
// H. Ji et al., "Towards Efficient Exact Optimization of Language Model Alignment", arXiv 2402.00856. TRL's loss_type
// "exo_pair", which refuses eps = 0; up to 0.28 it took 1e-3 instead, the default here.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

constexpr ParameterDefinition kSmoothing = [] {
  ParameterDefinition parameter = LabelSmoothing(1e-3);
  parameter.is_minimum_excluded = true;
  parameter.is_maximum_excluded = true;
  parameter.source = "TRL's DPOConfig; the default is what TRL took for 0 up to 0.28";
  return parameter;
}();

struct ExoPairObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "exo_pair",
      .formula = "sigmoid(z) log[sigmoid(z)/(1-eps)] + sigmoid(-z) log[sigmoid(-z)/eps]",
      .source = "EXO, arXiv 2402.00856",
      .has_divergence = true,
      .parameters = {kSmoothing, kDivergenceType, kAlphaCoefficient, kOldAlphaCoefficient},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double log_eps = __builtin_log(own[0]);
    const double log_rest = __builtin_log1p(-own[0]);
    const auto z = pair.Logit();
    const auto loss = Sigmoid(z) * (-Softplus(-z) - log_rest) + Sigmoid(-z) * (-Softplus(z) - log_eps);
    return OutcomeOf(pair, loss, z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(ExoPairObjective)
