// SPDX-License-Identifier: Apache-2.0
// DiscoPOP, the loss that a language model proposed: a blend of DPO's and the exponential loss. Not monotone: at z = 0
// its slope is positive.
//
//   m = sigmoid(z / tau),  loss = (1 - m) * softplus(-z) + m * exp(-z),  tau = discopop_tau
//
// C. Lu et al., "Discovering Preference Optimization Algorithms with and for Large Language Models", arXiv 2406.08414.
// TRL's loss_type "discopop".
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

constexpr ParameterDefinition kTau = {.name = "discopop_tau",
                                      .default_value = 0.05,
                                      .minimum = 0.0,
                                      .is_minimum_excluded = true,
                                      .meaning = "temperature of the blend",
                                      .source = "TRL's DPOConfig"};

struct DiscopopObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "discopop",
      .formula = "(1-m) softplus(-z) + m exp(-z), m = sigmoid(z/tau)",
      .source = "DiscoPOP, arXiv 2406.08414",
      .has_divergence = true,
      .parameters = {kTau, kDivergenceType, kAlphaCoefficient, kOldAlphaCoefficient},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double tau = own[0];
    const auto z = pair.Logit();
    // m * exp(-z) = exp(-z - softplus(-z/tau)) in one exponential: for z << 0 its factors overflow and vanish.
    const double exponent =
        (z.value >= 0 ? -z.value : SlopeProduct<Pair::N>(1.0 / tau - 1.0, z.value)) - Log1p(Exp(-Abs(z.value) / tau));
    const auto tail = Exp(Chain(exponent, Sigmoid(-z.value / tau) / tau - 1.0, z));
    return OutcomeOf(pair, Sigmoid(-(z / tau)) * Softplus(-z) + tail, z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(DiscopopObjective)
