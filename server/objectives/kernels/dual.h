// SPDX-License-Identifier: Apache-2.0
// Numbers that carry their exact derivatives: a formula written once gives its value and its gradient (forward-mode
// differentiation). The derivatives are by the N variables that a Pair names.
#pragma once

#include "server/objectives/kernels/vector_math.h"

namespace prefscore {
namespace {

// N is the number of variables, plus kGuarded where slopes may overflow: see SlopeProduct.
constexpr int kGuarded = 8;
template <int N>
constexpr int kNumVariables = N & ~kGuarded;
template <int N>
constexpr bool kHasWeights = (N & ~kGuarded) > 2;  // beta and gamma are variables, not just the log-probs

template <int N>
struct Dual {
  double value;
  double by[kNumVariables<N>];
};

// A product of slopes. Guarded, 0 prevails over what overflowed: a variable that does not matter, or a loss that is
// flat, has the derivative 0. It is a branch to the compiler, so that only those pay for it who need it.
template <int N>
PREFSCORE_INLINE double SlopeProduct(double x, double y) {
  if constexpr ((N & kGuarded) == 0) return x * y;
  return x == 0 || y == 0 ? 0.0 : x * y;
}

// f(x), given its value and slope at x.
template <int N>
PREFSCORE_INLINE Dual<N> Chain(double value, double slope, const Dual<N>& x) {
  Dual<N> result;
  result.value = value;
  for (int i = 0; i < kNumVariables<N>; ++i) result.by[i] = SlopeProduct<N>(slope, x.by[i]);
  return result;
}

template <int N>
PREFSCORE_INLINE Dual<N> operator+(const Dual<N>& x, const Dual<N>& y) {
  Dual<N> result;
  result.value = x.value + y.value;
  for (int i = 0; i < kNumVariables<N>; ++i) result.by[i] = x.by[i] + y.by[i];
  return result;
}

template <int N>
PREFSCORE_INLINE Dual<N> operator-(const Dual<N>& x) {
  return Chain(-x.value, -1.0, x);
}

template <int N>
PREFSCORE_INLINE Dual<N> operator-(const Dual<N>& x, const Dual<N>& y) {
  Dual<N> result;
  result.value = x.value - y.value;
  for (int i = 0; i < kNumVariables<N>; ++i) result.by[i] = x.by[i] - y.by[i];
  return result;
}

template <int N>
PREFSCORE_INLINE Dual<N> operator*(const Dual<N>& x, const Dual<N>& y) {
  Dual<N> result;
  result.value = SlopeProduct<N>(x.value, y.value);
  for (int i = 0; i < kNumVariables<N>; ++i) {
    result.by[i] = SlopeProduct<N>(x.by[i], y.value) + SlopeProduct<N>(x.value, y.by[i]);
  }
  return result;
}

template <int N>
PREFSCORE_INLINE Dual<N> operator*(double factor, const Dual<N>& x) {
  return Chain(SlopeProduct<N>(factor, x.value), factor, x);
}

template <int N>
PREFSCORE_INLINE Dual<N> operator/(const Dual<N>& x, double divisor) {
  Dual<N> result;
  result.value = x.value / divisor;
  for (int i = 0; i < kNumVariables<N>; ++i) result.by[i] = x.by[i] / divisor;
  return result;
}

template <int N>
PREFSCORE_INLINE Dual<N> operator+(const Dual<N>& x, double y) {
  Dual<N> result = x;
  result.value += y;
  return result;
}

template <int N>
PREFSCORE_INLINE Dual<N> operator-(const Dual<N>& x, double y) {
  return x + -y;
}

template <int N>
PREFSCORE_INLINE Dual<N> Square(const Dual<N>& x) {
  return Chain(x.value * x.value, 2.0 * x.value, x);
}

// max(0, x); at the kink the flat side's slope, 0.
template <int N>
PREFSCORE_INLINE Dual<N> PositivePart(const Dual<N>& x) {
  const bool is_positive = x.value > 0;
  return Chain(is_positive ? x.value : (x.value != x.value ? x.value : 0.0), is_positive ? 1.0 : 0.0, x);
}

template <int N>
PREFSCORE_INLINE Dual<N> Exp(const Dual<N>& x) {
  const double value = Exp(x.value);
  return Chain(value, value, x);
}

// sigmoid(x) = 1 / (1 + exp(-x))
PREFSCORE_INLINE double Sigmoid(double x) {
  const double e = Exp(-Abs(x));
  const double q = 1.0 / (1.0 + e);
  return x >= 0 ? q : (x != x ? x : e * q);
}

template <int N>
PREFSCORE_INLINE Dual<N> Sigmoid(const Dual<N>& x) {
  const double e = Exp(-Abs(x.value));
  const double q = 1.0 / (1.0 + e);
  return Chain(x.value >= 0 ? q : e * q, e * q * q, x);
}

// log(1 + exp(x)); -Softplus(-x) is log(sigmoid(x)).
template <int N>
PREFSCORE_INLINE Dual<N> Softplus(const Dual<N>& x) {
  const double e = Exp(-Abs(x.value));
  const double q = 1.0 / (1.0 + e);
  return Chain(Max(x.value, 0.0) + Log1p(e), x.value >= 0 ? q : e * q, x);
}

// softplus(-z) where the label is right, softplus(z) where it is flipped, which a share eps of the labels is.
template <int N>
PREFSCORE_INLINE Dual<N> SmoothedLoss(const Dual<N>& z, double eps) {
  return (1.0 - eps) * Softplus(-z) + eps * Softplus(z);
}

}  // namespace
}  // namespace prefscore
