// SPDX-License-Identifier: Apache-2.0
// Noise contrastive alignment of a pair: raises the chosen log-prob instead of the margin alone.
//
//   loss = softplus(-R+) + softplus(R+)/2 + softplus(R-)/2
//
// H. Chen et al., "Noise Contrastive Alignment of Language Models with Explicit Rewards", arXiv 2402.05369 (there beta
// is 0.01). TRL's loss_type "nca_pair".
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct NcaPairObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "nca_pair",
      .formula = "softplus(-R+) + softplus(R+)/2 + softplus(R-)/2",
      .source = "NCA, arXiv 2402.05369",
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto chosen = pair.ChosenReward();
    const auto rejected = pair.RejectedReward();
    return OutcomeOf(pair, Softplus(-chosen) + 0.5 * Softplus(chosen) + 0.5 * Softplus(rejected), pair.Logit());
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(NcaPairObjective)
