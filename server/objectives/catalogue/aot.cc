// SPDX-License-Identifier: Apache-2.0
// Alignment via optimal transport on paired data. A batch objective: the policy's margins, sorted, are compared with
// the reference's margins, sorted; the pair with the i-th smallest h gets the reference log-probs of that with the i-th
// smallest h0.
//
//   D = beta*h(i) - gamma*h0(i),  loss = (1 - eps) * softplus(-D) + eps * softplus(D),  eps = label_smoothing
//
// I. Melnyk et al., "Distributional Preference Alignment of LLMs via Optimal Transport", arXiv 2406.05882. TRL's
// loss_type "aot", whose batch is one device's micro-batch.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

void PrepareBatch(const BatchView& batch, const BatchPlan& plan) {
  plan.match_by_rank(batch.policy_margins, batch.reference_margins, batch.num_pairs, plan.reference_of_pair);
}

struct AotObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "aot",
      .formula = "(1-eps) softplus(-D) + eps softplus(D), D = beta h(i) - gamma h0(i), both sorted",
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

PREFSCORE_OBJECTIVE(AotObjective)
