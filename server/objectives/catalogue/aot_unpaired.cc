// SPDX-License-Identifier: Apache-2.0
// Alignment via optimal transport on unpaired data. A batch objective: the rewards of the chosen completions, sorted,
// are compared with those of the rejected ones, sorted.
//
//   D = R+(i) - R-(i),  loss = (1 - eps) * softplus(-D) + eps * softplus(D),  eps = label_smoothing
//
// Loss and chosen derivative of rank i are the pair's that holds R+(i), the rejected derivative that of the pair that
// holds R-(i). I. Melnyk et al., arXiv 2406.05882. TRL's loss_type "aot_unpaired" ("aot_pair" up to 0.28).
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

void PrepareBatch(const BatchView& batch, const BatchPlan& plan) {
  plan.match_by_rank(batch.chosen_rewards, batch.rejected_rewards, batch.num_pairs, plan.rejected_of_pair);
}

struct AotUnpairedObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "aot_unpaired",
      .formula = "(1-eps) softplus(-D) + eps softplus(D), D = R+(i) - R-(i), both sorted",
      .source = "AOT, arXiv 2406.05882",
      .parameters = {LabelSmoothing()},
      .prepare_batch = &PrepareBatch,
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

PREFSCORE_OBJECTIVE(AotUnpairedObjective)
