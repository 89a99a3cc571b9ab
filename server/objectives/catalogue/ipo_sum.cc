// SPDX-License-Identifier: Apache-2.0
// IPO on summed log-ratios, as in its paper and in the trainers of E. Mitchell, OpenRLHF and NeMo-Aligner.
//
//   loss = [s(R+/beta) - s(R-/beta) - 1/(2*beta)]^2
//
// M. G. Azar et al., arXiv 2310.12036, with tau = beta. Per token, as TRL has it: ipo.cc.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct IpoSumObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "ipo_sum",
      .formula = "[s(R+/beta) - s(R-/beta) - 1/(2beta)]^2",
      .source = "IPO, arXiv 2310.12036",
      .has_divergence = true,
      .parameters = {kDivergenceType, kAlphaCoefficient, kOldAlphaCoefficient},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    const auto target = pair.HalfOverBeta();
    const auto difference = WithValue(pair.ScoreDifference(), z.value / pair.beta);
    return OutcomeOf(pair, Square(difference - target), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(IpoSumObjective)
