// SPDX-License-Identifier: Apache-2.0
// The online log-sum-exp of a row of logits, for kernel and twin.
#pragma once

#include <limits>

#include "server/kernels/kernels.h"
#include "server/kernels/scalar_math.h"

namespace prefscore::kernels {

inline constexpr PartialSum kEmptySum{
    .sum = 0.0, .maximum = -std::numeric_limits<float>::infinity(), .argmax = -1};

PREFSCORE_HOST_DEVICE float Capped(float softcap, float logit) {
  return softcap > 0.0f ? softcap * Tanh(logit / softcap) : logit;
}

// What is taken off exponents: the maximum, or 0 where all logits so far are -infinity or NaN.
PREFSCORE_HOST_DEVICE float ReferenceOf(float maximum) { return maximum < -3.4028234e38f ? 0.0f : maximum; }

// `total` and further logits: `maximum` and `argmax` are those of both, `sum` that of exp(logit - ReferenceOf(maximum)).
PREFSCORE_HOST_DEVICE PartialSum Extended(const PartialSum& total, float maximum, std::int32_t argmax, double sum) {
  const double shrink =
      ExpOfNegative(static_cast<double>(total.maximum) - static_cast<double>(ReferenceOf(maximum)));
  return {total.sum * shrink + sum, maximum, argmax};
}

PREFSCORE_HOST_DEVICE TargetScore ScoreOf(std::int32_t token, float logit, const PartialSum& row) {
  return {static_cast<double>(logit) - (static_cast<double>(row.maximum) + log(row.sum)), token == row.argmax};
}

}  // namespace prefscore::kernels
