// SPDX-License-Identifier: Apache-2.0
// Binary classifier optimisation of a pair: each completion is classified by its reward.
//
//   loss = softplus(-(R+ - delta)) + softplus(R- - delta)
//
// S. Jung et al., "Binary Classifier Optimization for Large Language Model Alignment", arXiv 2404.04656. TRL's
// loss_type "bco_pair", which has no delta since 0.29; up to 0.28, and in LLaMA-Factory, delta is a running mean of the
// rewards.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct BcoPairObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "bco_pair",
      .formula = "softplus(-(R+ - delta)) + softplus(R- - delta)",
      .source = "BCO, arXiv 2404.04656",
      .parameters = {{.name = "delta",
                      .default_value = 0.0,
                      .meaning = "reward between the two classes; TRL up to 0.28 takes a running mean of rewards",
                      .source = "TRL since 0.29"}},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double delta = own[0];
    const auto loss = Softplus(-(pair.ChosenReward() - delta)) + Softplus(pair.RejectedReward() - delta);
    return OutcomeOf(pair, loss, pair.Logit());
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(BcoPairObjective)
