// SPDX-License-Identifier: Apache-2.0
// Anchored preference optimisation, "down": lowers both completions, the rejected one more. For a policy better than
// its data.
//
//   loss = sigmoid(R+) + 1 - sigmoid(z)
//
// K. D'Oosterlinck et al., arXiv 2408.06266. TRL's loss_type "apo_down".
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct ApoDownObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "apo_down",
      .formula = "sigmoid(R+) + sigmoid(-z)",
      .source = "APO, arXiv 2408.06266",
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    return OutcomeOf(pair, Sigmoid(pair.ChosenReward()) + Sigmoid(-z), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(ApoDownObjective)
