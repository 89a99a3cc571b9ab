// SPDX-License-Identifier: Apache-2.0
// The online log-sum-exp of a row of logits, for kernel and twin.
#pragma once

#include <limits>

#include "server/kernels/kernels.h"
#include "server/kernels/scalar_math.h"

namespace prefscore::kernels {

inline constexpr PartialSum kEmptySum{.sum = 0.0, .maximum = -std::numeric_limits<float>::infinity()};

PREFSCORE_HOST_DEVICE float Capped(float softcap, float logit) {
  return softcap > 0.0f ? softcap * Tanh(logit / softcap) : logit;
}

// What is taken off exponents: the maximum, or 0 where all logits so far are -infinity or NaN.
PREFSCORE_HOST_DEVICE float ReferenceOf(float maximum) { return maximum < -3.4028234e38f ? 0.0f : maximum; }

// `total` and further logits: `maximum` is that of both, `sum` that of exp(logit - ReferenceOf(maximum)).
PREFSCORE_HOST_DEVICE PartialSum Extended(const PartialSum& total, float maximum, double sum) {
  const double shrink =
      ExpOfNegative(static_cast<double>(total.maximum) - static_cast<double>(ReferenceOf(maximum)));
  return {total.sum * shrink + sum, maximum};
}

PREFSCORE_HOST_DEVICE double LogProb(float target_logit, const PartialSum& sum) {
  return static_cast<double>(target_logit) - (static_cast<double>(sum.maximum) + log(sum.sum));
}

}  // namespace prefscore::kernels
