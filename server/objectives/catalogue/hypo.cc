// SPDX-License-Identifier: Apache-2.0
// Hybrid DPO: the reference counts only where it is right.
//
//   loss = softplus(-(beta*h - gamma*max(0, h0)))
//
// S. Yuan et al., "Mitigating Mismatch within Reference-based Preference Optimization", arXiv 2602.11902.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct HypoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "hypo",
      .formula = "softplus(-(beta h - gamma max(0, h0)))",
      .source = "HyPO, arXiv 2602.11902",
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const double reference_margin = pair.ReferenceMargin();
    const bool is_right = reference_margin > 0;
    auto z = WithValue(pair.Logit(), is_right ? pair.z : pair.beta * pair.PolicyMargin().value);
    if constexpr (kHasWeights<Pair::N>) z.by[3] = is_right ? -reference_margin : 0.0;
    const double required_margin = pair.gamma / pair.beta * (is_right ? reference_margin : 0.0);
    return OutcomeWithMargin(pair, Softplus(-z), z.value, required_margin);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(HypoObjective)
