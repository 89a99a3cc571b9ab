// SPDX-License-Identifier: Apache-2.0
// DPO's loss, the negative log-probability of "chosen is preferred".
//
//   loss = log(1 + exp(-z))
//
// R. Rafailov et al., "Direct Preference Optimization: Your Language Model is Secretly a Reward Model", arXiv
// 2305.18290; gamma apart from beta: K. Cho, "Continued musing on DPO". TRL's loss_type "sigmoid"; TRL ignores
// label_smoothing here since 0.29, see cdpo.cc.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct SigmoidObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "sigmoid",
      .formula = "softplus(-z)",
      .source = "DPO, arXiv 2305.18290",
      .has_divergence = true,
      .parameters = {kDivergenceType, kAlphaCoefficient, kOldAlphaCoefficient},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    return OutcomeOf(pair, Softplus(-z), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(SigmoidObjective)
