// SPDX-License-Identifier: Apache-2.0
// Mixed preference optimisation: preference, quality and generation losses in one.
//
//   loss = sigmoid_weight * softplus(-z) + bco_pair_weight * [softplus(-R+) + softplus(R-)] + sft_weight * (-pc/lc)
//
// W. Wang et al., "Enhancing the Reasoning Ability of Multimodal LLMs via Mixed Preference Optimization", arXiv
// 2411.10442; the weights are TRL's example for it (loss_type ["sigmoid", "bco_pair", "sft"]). Other mixtures: a
// weighted sum of objectives.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct MpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "mpo",
      .formula = "sigmoid_weight*sigmoid + bco_pair_weight*bco_pair + sft_weight*sft",
      .source = "MPO, arXiv 2411.10442",
      .needs = kReference | kChosenLength,
      .parameters = {{.name = "sigmoid_weight",
                      .default_value = 0.8,
                      .minimum = 0.0,
                      .meaning = "weight of DPO's loss",
                      .source = "TRL's loss_weights for MPO"},
                     {.name = "bco_pair_weight",
                      .default_value = 0.2,
                      .minimum = 0.0,
                      .meaning = "weight of the classifier's loss",
                      .source = "TRL's loss_weights for MPO"},
                     {.name = "sft_weight",
                      .default_value = 1.0,
                      .minimum = 0.0,
                      .meaning = "weight of the negative log-prob per token",
                      .source = "TRL's loss_weights for MPO"}},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    const auto quality = Softplus(-pair.ChosenReward()) + Softplus(pair.RejectedReward());
    return OutcomeOf(pair, own[0] * Softplus(-z) + own[1] * quality + own[2] * pair.ChosenNll(), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(MpoObjective)
