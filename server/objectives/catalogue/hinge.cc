// SPDX-License-Identifier: Apache-2.0
// The normalised hinge: its margin is 1, whatever beta.
//
//   loss = max(0, 1 - z); at the kink its slope is 0
//
// T. Liu et al., "Statistical Rejection Sampling Improves Preference Optimization" (RSO), arXiv 2309.06657, after SLiC.
// TRL's loss_type "hinge". The hinge without the 1 is margin_hinge.cc.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct HingeObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "hinge",
      .formula = "max(0, 1 - z)",
      .source = "RSO, arXiv 2309.06657",
      .has_divergence = true,
      .parameters = {kDivergenceType, kAlphaCoefficient, kOldAlphaCoefficient},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    return OutcomeOf(pair, PositivePart(-z + 1.0), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(HingeObjective)
