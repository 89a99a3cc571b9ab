// SPDX-License-Identifier: Apache-2.0
// DPO's loss and the chosen completion's negative log-prob per token.
//
//   loss = softplus(-z) + rpo_alpha * (-pc/lc)
//
// R. Y. Pang et al., "Iterative Reasoning Preference Optimization", arXiv 2404.19733; Z. Liu et al., "Provably
// Mitigating Overoptimization in RLHF", arXiv 2405.16436 (there rpo_alpha is 0.005). TRL's rpo_alpha up to 0.28, then
// loss_type
// ["sigmoid", "sft"].
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct RpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "rpo",
      .formula = "softplus(-z) - rpo_alpha pc/lc",
      .source = "RPO, arXiv 2404.19733",
      .needs = kReference | kChosenLength,
      .parameters = {{.name = "rpo_alpha",
                      .default_value = 1.0,
                      .minimum = 0.0,
                      .meaning = "weight of the negative log-prob per token",
                      .source = "TRL's DPOConfig up to 0.28"}},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    return OutcomeOf(pair, Softplus(-z) + own[0] * pair.ChosenNll(), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(RpoObjective)
