// SPDX-License-Identifier: Apache-2.0
// DPO's loss with a length term; this one subtracts alpha * (lc - lr) from the logit.
//
//   loss = softplus(-(z - alpha * (lc - lr))),  lc, lr: tokens of the completions
//
// R. Park et al., "Disentangling Length from Quality in DPO", arXiv 2403.19159, as the repository of alpha-DPO has it.
// It rewards length; what follows from the paper has the other sign: r_dpo.cc.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct RdpoSubtractObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "r_dpo_subtract",
      .formula = "softplus(-(z - alpha (lc - lr)))",
      .source = "R-DPO, arXiv 2403.19159",
      .needs = kReference | kLengths,
      .parameters = {{.name = "alpha",
                      .default_value = 0.01,
                      .meaning = "logit per token of length difference",
                      .source = "the paper's name; it tunes the value, the default is ours"}},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double excess = own[0] * (pair.num_chosen_tokens - pair.num_rejected_tokens);
    const auto z = pair.Logit() - excess;
    const double required_margin = (pair.gamma * pair.ReferenceMargin() + excess) / pair.beta;
    return OutcomeWithMargin(pair, Softplus(-z), z.value, required_margin);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(RdpoSubtractObjective)
