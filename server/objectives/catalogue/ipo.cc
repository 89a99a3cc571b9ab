// SPDX-License-Identifier: Apache-2.0
// IPO on log-ratios per token, as its authors confirmed to TRL (its issue 1265).
//
//   loss = [s(R+/beta)/lc - s(R-/beta)/lr - 1/(2*beta)]^2,  lc, lr: tokens of the completions
//   logit = beta * [s(R+/beta)/lc - s(R-/beta)/lr]
//
// M. G. Azar et al., "A General Theoretical Paradigm to Understand Learning from Human Preferences", arXiv 2310.12036,
// with tau = beta. TRL's loss_type "ipo" since 0.7.11. On sums, as other projects have it: ipo_sum.cc.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct IpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "ipo",
      .formula = "[s(R+/beta)/lc - s(R-/beta)/lr - 1/(2beta)]^2",
      .source = "IPO, arXiv 2310.12036, as TRL",
      .needs = kReference | kLengths,
      .is_per_token = true,
      .has_divergence = true,
      .parameters = {kDivergenceType, kAlphaCoefficient, kOldAlphaCoefficient},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.MeanLogit();
    const auto target = pair.HalfOverBeta();
    const auto difference = WithValue(pair.MeanScoreDifference(), z.value / pair.beta);
    return MeanOutcomeOf(pair, Square(difference - target), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(IpoObjective)
