// SPDX-License-Identifier: Apache-2.0
// Robust DPO: an unbiased estimate of DPO's loss where a share eps of the labels is flipped. Unbounded below.
//
//   loss = [(1 - eps) * softplus(-z) - eps * softplus(z)] / (1 - 2 * eps),  eps = label_smoothing < 1/2
//
// S. R. Chowdhury et al., "Provably Robust DPO", arXiv 2403.00409. TRL's loss_type "robust".
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

constexpr ParameterDefinition kFlippedShare = [] {
  ParameterDefinition parameter = LabelSmoothing();
  parameter.is_maximum_excluded = true;
  return parameter;
}();

struct RobustObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "robust",
      .formula = "[(1-eps) softplus(-z) - eps softplus(z)] / (1-2eps)",
      .source = "arXiv 2403.00409",
      .has_divergence = true,
      .parameters = {kFlippedShare, kDivergenceType, kAlphaCoefficient, kOldAlphaCoefficient},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double eps = own[0];
    const auto z = pair.Logit();
    return OutcomeOf(pair, ((1.0 - eps) * Softplus(-z) - eps * Softplus(z)) / (1.0 - 2.0 * eps), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(RobustObjective)
