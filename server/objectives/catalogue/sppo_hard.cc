// SPDX-License-Identifier: Apache-2.0
// Self-play preference optimisation with hard labels: each completion has a target of its own.
//
//   loss = [R+/beta - 1/(2*beta)]^2 + [R-/beta + 1/(2*beta)]^2
//
// Y. Wu et al., "Self-Play Preference Optimization for Language Model Alignment", arXiv 2405.00675 (there beta is
// 0.001). TRL's loss_type "sppo_hard".
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct SppoHardObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "sppo_hard",
      .formula = "[R+/beta - 1/(2beta)]^2 + [R-/beta + 1/(2beta)]^2",
      .source = "SPPO, arXiv 2405.00675",
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto target = pair.HalfOverBeta();
    return OutcomeOf(pair, Square(pair.ChosenScore() - target) + Square(pair.RejectedScore() + target), pair.Logit());
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(SppoHardObjective)
