// SPDX-License-Identifier: Apache-2.0
// The margin form of DPO's loss, its limit for large |z|: 0 from h >= (gamma/beta)*h0 on, the margin that the reference
// asks for.
//
//   loss = max(0, -z); at the kink its slope is 0
//
// K. Cho, "Continued musing on DPO".
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

struct MarginHingeObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "margin_hinge",
      .formula = "max(0, -z)",
      .source = "K. Cho, \"Continued musing on DPO\"",
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    return OutcomeOf(pair, PositivePart(-z), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(MarginHingeObjective)
