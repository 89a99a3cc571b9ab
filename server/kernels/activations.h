// SPDX-License-Identifier: Apache-2.0
// The activation functions, for kernel and twin.
#pragma once

#include "server/kernels/kernels.h"
#include "server/kernels/scalar_math.h"

namespace prefscore::kernels {

PREFSCORE_HOST_DEVICE float Activated(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0f + Exp(-x));
    case Activation::kGeluTanh: {  // x / 2 * (1 + tanh(u)) = x * sigmoid(2 u), which does not cancel for u << 0
      constexpr float kTwoSqrtTwoOverPi = 1.59576912f;
      return x / (1.0f + Exp(-kTwoSqrtTwoOverPi * (x + 0.044715f * x * x * x)));
    }
    case Activation::kGeluErf:  // erfc is the library's; in double, two libraries differ in no fp32 bit but by accident
      return static_cast<float>(0.5 * static_cast<double>(x) * erfc(-0.7071067811865476 * static_cast<double>(x)));
    case Activation::kRelu:
      return x < 0.0f ? 0.0f : x;
  }
  return x;
}

}  // namespace prefscore::kernels
