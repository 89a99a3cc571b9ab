// SPDX-License-Identifier: Apache-2.0
// torch's own fp32 power function: its last bit differs from libm's now and then.
#pragma once

#include <vector>

namespace prefscore {

// base ** exponents as torch computes it for a Python number and an fp32 tensor.
std::vector<float> TorchPow(double base, std::vector<float> exponents);

// base ** exponent as torch computes it for an fp32 tensor and a Python number.
float TorchPow(float base, double exponent);

}  // namespace prefscore
