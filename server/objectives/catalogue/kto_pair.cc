// SPDX-License-Identifier: Apache-2.0
// KTO on pairs. A batch objective: each side is compared with the mean reward of the other side in the batch.
//
//   kl_chosen = max(0, mean of R+),  kl_rejected = max(0, mean of R-),  constants to the derivatives
//   loss = [1 - sigmoid(R+ - kl_rejected) + 1 - sigmoid(kl_chosen - R-)] / 2
//
// K. Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", arXiv 2402.01306, on pairs: TRL's
// "kto_pair" up to 0.8, which averages both halves of its losses alike; LLaMA-Factory, SamPO.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

double PositiveMean(const double* values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += values[i];
  return Max(0.0, sum / static_cast<double>(count));
}

void PrepareBatch(const BatchView& batch, const BatchPlan& plan) {
  plan.found[0] = PositiveMean(batch.chosen_rewards, batch.num_pairs);
  plan.found[1] = PositiveMean(batch.rejected_rewards, batch.num_pairs);
  plan.report(plan.context, "kl_chosen", plan.found[0]);
  plan.report(plan.context, "kl_rejected", plan.found[1]);
}

struct KtoPairObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "kto_pair",
      .formula = "[sigmoid(kl_rejected - R+) + sigmoid(R- - kl_chosen)] / 2",
      .source = "KTO, arXiv 2402.01306",
      .prepare_batch = &PrepareBatch,
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double kl_chosen = own[kBatch - kOwn];
    const double kl_rejected = own[kBatch - kOwn + 1];
    const auto loss =
        0.5 * (Sigmoid(-pair.ChosenReward() + kl_rejected) + Sigmoid(pair.RejectedReward() - kl_chosen));
    return OutcomeOf(pair, loss, pair.Logit());
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(KtoPairObjective)
