// SPDX-License-Identifier: Apache-2.0
// DPO's loss with the penalty of DPO-Positive outside the logarithm.
//
//   loss = softplus(-z) + delta * max(0, rc - pc); at the kink the penalty's slope is 0
//
// mlx-lm-lora's "dpop". The paper's has the penalty inside: dpop.cc.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct DpopOutsideObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "dpop_outside",
      .formula = "softplus(-z) + delta max(0, rc - pc)",
      .source = "mlx-lm-lora",
      .parameters = {{.name = "delta",
                      .default_value = 50.0,
                      .minimum = 0.0,
                      .meaning = "weight of the penalty",
                      .source = "mlx-lm-lora's name; the default is that of dpop"}},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    const auto fall = PositivePart(-pair.PolicyChosen() + pair.reference_chosen_logp);
    return OutcomeOf(pair, Softplus(-z) + own[0] * fall, z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(DpopOutsideObjective)
