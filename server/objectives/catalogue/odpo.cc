// SPDX-License-Identifier: Apache-2.0
// DPO with an offset: the margin grows with the gap between the scores that a judge gave the completions.
//
//   loss = softplus(-(z - alpha * log(score_gap))),  score_gap > 0 comes with the pair
//
// A. Amini et al., "Direct Preference Optimization with an Offset", arXiv 2402.10571.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct OdpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "odpo",
      .formula = "softplus(-(z - alpha log(score_gap)))",
      .source = "ODPO, arXiv 2402.10571",
      .needs = kReference | kGap,
      .parameters = {{.name = "alpha",
                      .default_value = 1.0,
                      .minimum = 0.0,
                      .meaning = "logit per unit of log(score_gap)",
                      .source = "the authors' repository"}},
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double offset = own[0] * Log(pair.score_gap);
    const auto z = pair.Logit() - offset;
    const double required_margin = (pair.gamma * pair.ReferenceMargin() + offset) / pair.beta;
    return OutcomeWithMargin(pair, Softplus(-z), z.value, required_margin);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(OdpoObjective)
