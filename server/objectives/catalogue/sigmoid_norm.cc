// SPDX-License-Identifier: Apache-2.0
// DPO's loss on scores per token.
//
//   loss = softplus(-zn),  zn = beta * [s(R+/beta)/lc - s(R-/beta)/lr],  lc, lr: tokens of the completions
//
// N. Lambert et al., "Tulu 3", arXiv 2411.15124 (dpo_norm, there with beta = 5). TRL's loss_type "sigmoid_norm".
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct SigmoidNormObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "sigmoid_norm",
      .formula = "softplus(-zn), zn = beta [s(R+/beta)/lc - s(R-/beta)/lr]",
      .source = "Tulu 3, arXiv 2411.15124",
      .needs = kReference | kLengths,
      .is_per_token = true,
      .has_divergence = true,
      .parameters = {kDivergenceType, kAlphaCoefficient, kOldAlphaCoefficient},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.MeanLogit();
    return MeanOutcomeOf(pair, Softplus(-z), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(SigmoidNormObjective)
