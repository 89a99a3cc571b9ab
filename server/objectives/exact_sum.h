// SPDX-License-Identifier: Apache-2.0
// Sums of products of doubles without the loss that cancellation brings: the products are split into exact pairs of
// doubles, the pairs summed exactly, and only the result is rounded. Needs IEEE doubles and fma, nothing wider.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

namespace prefscore {

// factor * value, as a term of SumOfProducts.
struct Product {
  double factor;
  double value;
};

// The sum of the products, within one unit in the last place of the exact sum however much of it cancels, where no
// partial product is below 1e-290 in magnitude. Where a product or the sum overflows, what plain arithmetic gives.
//
// Each running sum is kept as an expansion of non-overlapping doubles: J. R. Shewchuk, "Adaptive Precision
// Floating-Point Arithmetic and Fast Robust Geometric Predicates", 1997.
template <std::size_t N>
double SumOfProducts(const std::array<Product, N>& products) {
  std::array<double, 2 * N> expansion;  // ascending in magnitude
  std::size_t size = 0;
  double plain = 0;
  const auto add = [&](double term) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double sum = term + expansion[i];
      const double shadow = sum - term;
      const double error = (term - (sum - shadow)) + (expansion[i] - shadow);
      if (error != 0) expansion[kept++] = error;
      term = sum;
    }
    expansion[kept++] = term;
    size = kept;
  };
  for (const Product& p : products) {
    const double high = p.factor * p.value;
    plain += high;
    add(high);
    add(std::fma(p.factor, p.value, -high));
  }
  if (!std::isfinite(plain)) return plain;
  double result = 0;
  for (std::size_t i = 0; i < size; ++i) result += expansion[i];
  return result;
}

}  // namespace prefscore
