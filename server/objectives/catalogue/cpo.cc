// SPDX-License-Identifier: Apache-2.0
// Contrastive preference optimisation: no reference, and the chosen completion's negative log-prob per token is added.
//
//   loss = (1 - eps) * softplus(-beta*h) + eps * softplus(beta*h) - cpo_alpha * pc/lc,  eps = label_smoothing
//
// H. Xu et al., "Contrastive Preference Optimization", arXiv 2401.08417. TRL's CPOTrainer with loss_type "sigmoid"; it
// averages the last term over all chosen tokens of a batch, here it is averaged per completion.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct CpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "cpo",
      .formula = "(1-eps) softplus(-beta h) + eps softplus(beta h) - cpo_alpha pc/lc",
      .source = "CPO, arXiv 2401.08417",
      .needs = kChosenLength,
      .has_gamma = false,
      .beta_source = "TRL's CPOConfig",
      .parameters = {LabelSmoothing(), CpoAlpha(1.0, "TRL's CPOConfig")},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double eps = own[0];
    const auto z = pair.Beta() * pair.PolicyMargin();
    const auto loss = SmoothedLoss(z, eps) + own[1] * pair.ChosenNll();
    return OutcomeWithMargin(pair, loss, z.value, 0.0);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(CpoObjective)
