// SPDX-License-Identifier: Apache-2.0
// Conservative DPO: the labels are right with probability 1 - eps.
//
//   loss = (1 - eps) * softplus(-z) + eps * softplus(z),  eps = label_smoothing
//
// E. Mitchell, "A note on DPO with noisy preferences & relationship to IPO", 2023. TRL's "sigmoid" with
// label_smoothing, up to 0.28.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct CdpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "cdpo",
      .formula = "(1-eps) softplus(-z) + eps softplus(z)",
      .source = "E. Mitchell, 2023",
      .parameters = {LabelSmoothing()},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double eps = own[0];
    const auto z = pair.Logit();
    return OutcomeOf(pair, SmoothedLoss(z, eps), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(CdpoObjective)
