// SPDX-License-Identifier: Apache-2.0
// DPO-Positive: a chosen completion that falls below the reference is penalised inside the logit.
//
//   loss = softplus(-(z - beta * dpop_lambda * max(0, rc - pc))); at the kink the penalty's slope is 0
//
// A. Pal et al., "Smaug: Fixing Failure Modes of Preference Optimisation with DPO-Positive", arXiv 2402.13228.
// mlx-lm-lora puts the penalty outside under the same name: dpop_outside.cc.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct DpopObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "dpop",
      .formula = "softplus(-(z - beta dpop_lambda max(0, rc - pc)))",
      .source = "DPO-Positive, arXiv 2402.13228",
      .parameters = {{.name = "dpop_lambda",
                      .default_value = 50.0,
                      .minimum = 0.0,
                      .meaning = "weight of the penalty, in units of beta",
                      .source = "the paper"}},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto fall = PositivePart(-pair.PolicyChosen() + pair.reference_chosen_logp);
    const auto z = pair.Logit() - own[0] * (pair.Beta() * fall);
    return OutcomeOf(pair, Softplus(-z), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(DpopObjective)
