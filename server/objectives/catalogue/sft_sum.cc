// SPDX-License-Identifier: Apache-2.0
// The chosen completion's negative log-prob.
//
//   loss = -pc
//
// NeMo-RL's sft term without sft_average_log_probs. Per token: sft.cc.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct SftSumObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "sft_sum",
      .formula = "-pc",
      .source = "NeMo-RL",
      .needs = kNothing,
      .has_beta = false,
      .has_gamma = false,
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    return OutcomeWithMargin(pair, -pair.PolicyChosen(), pair.PolicyMargin().value, 0.0);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(SftSumObjective)
