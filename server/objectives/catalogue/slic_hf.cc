// SPDX-License-Identifier: Apache-2.0
// SLiC-HF: no reference; a hinge on the policy's margin in nats, and the chosen completion's negative log-prob, both on
// sums.
//
//   loss = max(0, delta - h) - lambda_coef * pc; at the kink the hinge's slope is 0
//
// Y. Zhao et al., "SLiC-HF: Sequence Likelihood Calibration with Human Feedback", arXiv 2305.10425. HALOs calls delta
// beta; its defaults.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct SlicHfObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "slic_hf",
      .formula = "max(0, delta - h) - lambda_coef pc",
      .source = "SLiC-HF, arXiv 2305.10425",
      .needs = kNothing,
      .has_beta = false,
      .has_gamma = false,
      .parameters = {{.name = "delta",
                      .default_value = 1.0,
                      .minimum = 0.0,
                      .meaning = "margin from which on the hinge is 0, nats",
                      .source = "SLiC-HF's name, HALOs' default"},
                     {.name = "lambda_coef",
                      .default_value = 0.1,
                      .minimum = 0.0,
                      .meaning = "weight of the chosen completion's negative log-prob",
                      .source = "HALOs"}},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto lacking = -pair.PolicyMargin() + own[0];
    return OutcomeWithMargin(pair, PositivePart(lacking) - own[1] * pair.PolicyChosen(), -lacking.value, own[0]);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(SlicHfObjective)
