// SPDX-License-Identifier: Apache-2.0
#include "server/models/torch_pow.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/pow.h>

namespace prefscore {

std::vector<float> TorchPow(double base, std::vector<float> exponents) {
  const at::Tensor input = at::from_blob(exponents.data(), {static_cast<std::int64_t>(exponents.size())}, at::kFloat);
  const at::Tensor powers = at::pow(at::Scalar(base), input);
  const float* values = powers.const_data_ptr<float>();
  return std::vector<float>(values, values + exponents.size());
}

float TorchPow(float base, double exponent) {
  return at::pow(at::from_blob(&base, {}, at::kFloat), at::Scalar(exponent)).item<float>();
}

}  // namespace prefscore
