// SPDX-License-Identifier: Apache-2.0
// DPO with a beta that follows the batch's margins. A batch objective with a state, the running mean M and deviation s
// of the margins.
//
//   D = z / beta;  kept: the keep_share of the batch with the largest weight exp(-((D - M) / s)^2 / 2)
//   beta_used = max(min_beta, beta * (1 + alpha * (mean of kept D - M)));  loss = softplus(-(beta_used / beta) * z)
//   A pair that is not kept has loss and derivatives 0; beta_used / beta is a constant to the derivatives.
//   Next state: M <- momentum * M + (1 - momentum) * mean of D, and s likewise.
//
// J. Wu et al., "beta-DPO: Direct Preference Optimization with Dynamic beta", arXiv 2407.08639. The authors draw the
// kept pairs by their weights; keeping the largest ones is the form that gives equal numbers for equal input. Without a
// state, M and s are those of the batch.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

constexpr double kTinyDeviation = 1e-7;  // the authors' repository

void PrepareBatch(const BatchView& batch, const BatchPlan& plan) {
  const size_t count = batch.num_pairs;
  const double beta = batch.parameters[kBeta];
  const double* own = batch.parameters + kOwn;
  const double alpha = own[0], keep_share = own[1], momentum = own[2], min_beta = own[3];
  const auto margin = [&](size_t i) { return batch.logits[i] / beta; };

  double batch_mean = 0;
  for (size_t i = 0; i < count; ++i) batch_mean += margin(i) / static_cast<double>(count);
  double variance = 0;
  for (size_t i = 0; i < count; ++i) {
    const double difference = margin(i) - batch_mean;
    if (count > 1) variance += difference * difference / static_cast<double>(count - 1);
  }
  const double batch_deviation = __builtin_sqrt(variance);
  const bool has_mean = own[4] == own[4];
  const bool has_deviation = own[5] == own[5];
  const double mean = has_mean ? own[4] : batch_mean;
  const double deviation = has_deviation ? own[5] : batch_deviation;

  // The smallest distance from M has the largest weight.
  for (size_t i = 0; i < count; ++i) plan.weights[i] = Abs(margin(i) - mean);
  const size_t num_kept = static_cast<size_t>(Max(1.0, keep_share * static_cast<double>(count)));
  plan.mark_smallest(plan.weights, count, num_kept);
  double kept_mean = 0;
  for (size_t i = 0; i < count; ++i) kept_mean += plan.weights[i] * margin(i) / static_cast<double>(num_kept);
  const double beta_used = Max(min_beta, beta * (1.0 + alpha * (kept_mean - mean)));
  plan.found[0] = beta_used / beta;
  plan.report(plan.context, "beta_used", beta_used);
  plan.report(plan.context, "num_kept", static_cast<double>(num_kept));
  plan.report(plan.context, "margin_mean", has_mean ? momentum * mean + (1.0 - momentum) * batch_mean : mean);
  plan.report(plan.context, "margin_deviation",
              has_deviation ? momentum * deviation + (1.0 - momentum) * batch_deviation : deviation);
}

struct BetaDpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "beta_dpo",
      .formula = "softplus(-(beta_used/beta) z) of the pairs that are kept",
      .source = "beta-DPO, arXiv 2407.08639",
      .parameters = {{.name = "alpha",
                      .default_value = 0.6,
                      .meaning = "how strongly beta follows the margins, per nat",
                      .source = "the paper"},
                     {.name = "keep_share",
                      .default_value = 0.8,
                      .minimum = 0.0,
                      .maximum = 1.0,
                      .is_minimum_excluded = true,
                      .meaning = "share of the batch that is kept",
                      .source = "the paper's rho; 1 - mode_weight in its repository"},
                     {.name = "momentum",
                      .default_value = 0.9,
                      .minimum = 0.0,
                      .maximum = 1.0,
                      .is_maximum_excluded = true,
                      .meaning = "of the running mean and deviation",
                      .source = "the paper"},
                     {.name = "min_beta",
                      .default_value = 1e-3,
                      .minimum = 0.0,
                      .is_minimum_excluded = true,
                      .meaning = "smallest beta_used",
                      .source = "the authors' repository"},
                     {.name = "margin_mean",
                      .default_value = kUnset,
                      .meaning = "state M, nats; unset: the batch's mean",
                      .source = "ours"},
                     {.name = "margin_deviation",
                      .default_value = kUnset,
                      .minimum = 0.0,
                      .meaning = "state s, nats; unset: the batch's standard deviation",
                      .source = "ours"}},
      .prepare_batch = &PrepareBatch,
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double factor = own[kBatch - kOwn];
    const auto z = factor * pair.Logit();
    return OutcomeOf(pair, Softplus(-z), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(BetaDpoObjective)
