// SPDX-License-Identifier: Apache-2.0
// Anchored preference optimisation, "zero": raises the chosen completion and lowers the rejected one.
//
//   loss = 1 - sigmoid(R+) + sigmoid(R-)
//
// K. D'Oosterlinck et al., "Anchored Preference Optimization and Contrastive Revisions", arXiv 2408.06266. TRL's
// loss_type "apo_zero".
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct ApoZeroObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "apo_zero",
      .formula = "sigmoid(-R+) + sigmoid(R-)",
      .source = "APO, arXiv 2408.06266",
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    return OutcomeOf(pair, Sigmoid(-pair.ChosenReward()) + Sigmoid(pair.RejectedReward()), pair.Logit());
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(ApoZeroObjective)
