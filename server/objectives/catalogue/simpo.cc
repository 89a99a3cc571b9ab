// SPDX-License-Identifier: Apache-2.0
// SimPO: no reference, log-probs per token, a constant margin. In the terms of this project gamma is 0 and the margin
// is simpo_gamma / beta.
//
//   v = beta * (pc/lc - pr/lr) - simpo_gamma
//   loss = (1 - eps) * softplus(-v) + eps * softplus(v) - cpo_alpha * pc/lc,  eps = label_smoothing
//
// Y. Meng et al., "SimPO: Simple Preference Optimization with a Reference-Free Reward", arXiv 2405.14734. Names and
// defaults are those of TRL's CPOConfig, but for cpo_alpha: there it is 1, which is not SimPO. The authors write
// simpo_gamma / beta = gamma_beta_ratio and use beta 2 to 10.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct SimpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "simpo",
      .formula = "(1-eps) softplus(-v) + eps softplus(v) - cpo_alpha pc/lc, v = beta(pc/lc - pr/lr) - simpo_gamma",
      .source = "SimPO, arXiv 2405.14734",
      .needs = kLengths,
      .has_gamma = false,
      .is_per_token = true,
      .beta_source = "TRL's CPOConfig",
      .parameters = {{.name = "simpo_gamma",
                      .default_value = 0.5,
                      .meaning = "target reward margin",
                      .source = "TRL's CPOConfig"},
                     LabelSmoothing(),
                     CpoAlpha(0.0, "SimPO; TRL's CPOConfig has 1")},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double eps = own[1];
    const auto v = pair.MeanLogit() - own[0];
    const auto loss = SmoothedLoss(v, eps) + own[2] * pair.ChosenNll();
    return OutcomeWithMargin(pair, loss, v.value, own[0] / pair.beta);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(SimpoObjective)
