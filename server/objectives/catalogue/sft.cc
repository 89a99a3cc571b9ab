// SPDX-License-Identifier: Apache-2.0
// The chosen completion's negative log-prob per token: what supervised fine-tuning on it minimises.
//
//   loss = -pc/lc
//
// TRL's loss_type "sft", which averages over all chosen tokens of a batch: weight by num_chosen_tokens to have that.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct SftObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "sft",
      .formula = "-pc/lc",
      .source = "TRL",
      .needs = kChosenLength,
      .has_beta = false,
      .has_gamma = false,
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    return OutcomeWithMargin(pair, pair.ChosenNll(), pair.PolicyMargin().value, 0.0);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(SftObjective)
