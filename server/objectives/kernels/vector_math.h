// SPDX-License-Identifier: Apache-2.0
// Elementary functions of doubles without branches and calls, so that a loop over pairs that uses them is compiled to
// vector instructions. Within 2 units in the last place (tests/objectives/vector_math_test.cc), the same bits on every
// instruction set: operations are fused where it is written, and nowhere else. NaN in, NaN out.
//
// Everything here is of internal linkage and inlined: the linker must not mix instruction sets.
#pragma once

#include <stdint.h>

#define PREFSCORE_INLINE inline __attribute__((always_inline))

namespace prefscore {
namespace {

constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kLn2High = 0x1.62e42fefa0000p-1;  // its product with an exponent is exact
constexpr double kLn2Low = 0x1.cf79abc9e3b39p-40;
constexpr double kRoundingShift = 0x1.8p52;  // added and subtracted, it rounds to an integer

PREFSCORE_INLINE double FromBits(int64_t bits) { return __builtin_bit_cast(double, bits); }
PREFSCORE_INLINE int64_t ToBits(double value) { return __builtin_bit_cast(int64_t, value); }
PREFSCORE_INLINE double Abs(double x) { return __builtin_fabs(x); }
PREFSCORE_INLINE double Fma(double x, double y, double z) { return __builtin_fma(x, y, z); }  // x*y + z
PREFSCORE_INLINE double Max(double x, double y) { return x > y ? x : y; }

// exp(x) = 2^exponent * (1 + fraction), with `fraction` accurate relative to itself.
struct Exponential {
  double fraction;
  double half_scale;  // 2^exponent as a product of two factors, so that it reaches the subnormals
  double other_scale;
};

PREFSCORE_INLINE Exponential ReduceExp(double x) {
  const double clamped = x < -746.0 ? -746.0 : (x > 710.0 ? 710.0 : x);
  const double shifted = Fma(clamped, 0x1.71547652b82fep+0, kRoundingShift);  // x / ln 2
  const double exponent = shifted - kRoundingShift;
  const double r = Fma(-exponent, kLn2Low, Fma(-exponent, kLn2High, clamped));  // |r| <= ln(2) / 2
  // The Taylor series of exp after its linear term, to 13 terms, in pairs: fewer steps wait for each other.
  const double r2 = r * r;
  const double r4 = r2 * r2;
  const double low = Fma(Fma(1.0 / 120.0, r, 1.0 / 24.0), r2, Fma(1.0 / 6.0, r, 0.5));
  const double middle = Fma(Fma(1.0 / 362880.0, r, 1.0 / 40320.0), r2, Fma(1.0 / 5040.0, r, 1.0 / 720.0));
  const double high = Fma(Fma(1.0 / 6227020800.0, r, 1.0 / 479001600.0), r2, Fma(1.0 / 39916800.0, r, 1.0 / 3628800.0));
  const double sum = Fma(Fma(high, r4, middle), r4, low);
  const int64_t whole = ToBits(shifted) - ToBits(kRoundingShift);
  const int64_t half = static_cast<int64_t>(static_cast<uint64_t>(whole + 4096) >> 1) - 2048;
  return {.fraction = Fma(r2, sum, r),
          .half_scale = FromBits(static_cast<int64_t>(static_cast<uint64_t>(half + 1023) << 52)),
          .other_scale = FromBits(static_cast<int64_t>(static_cast<uint64_t>(whole - half + 1023) << 52))};
}

PREFSCORE_INLINE double Exp(double x) {
  const Exponential e = ReduceExp(x);
  const double value = (1.0 + e.fraction) * e.half_scale * e.other_scale;
  return x != x ? x : (x > 709.79 ? __builtin_inf() : value);
}

// exp(x) - 1
PREFSCORE_INLINE double Expm1(double x) {
  const Exponential e = ReduceExp(x);
  const double scale = e.half_scale * e.other_scale;
  const double value = scale * e.fraction + (scale - 1.0);
  return x != x
             ? x
             : (x > 709.79 ? __builtin_inf() : (x > 709.0 ? (1.0 + e.fraction) * e.half_scale * e.other_scale : value));
}

// log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)]: with s = f / (2 + f) it is 2 artanh(s), whose series is arranged so
// that its leading term is f itself.
PREFSCORE_INLINE double LogNear1(double f) {
  const double s = f / (2.0 + f);
  const double w = s * s;
  const double w2 = w * w;
  const double w4 = w2 * w2;
  const double low = Fma(Fma(2.0 / 9, w, 2.0 / 7), w2, Fma(2.0 / 5, w, 2.0 / 3));
  const double middle = Fma(Fma(2.0 / 17, w, 2.0 / 15), w2, Fma(2.0 / 13, w, 2.0 / 11));
  const double sum = Fma(Fma(Fma(2.0 / 21, w, 2.0 / 19), w4, middle), w4, low);
  return f - s * (f - w * sum);
}

// log(1 + x) for x in [-0.5, 1].
PREFSCORE_INLINE double Log1p(double x) {
  // Beyond [sqrt(1/2), sqrt(2)], 1 + x is halved or doubled first; what that takes from x is exact.
  const bool is_high = x > 0.41421356237309503;
  const bool is_low = x < -0.29289321881345248;
  const double excess = is_high ? 0.5 * (x - 1.0) : (is_low ? 2.0 * x + 1.0 : x);
  const double log = LogNear1(excess);
  const double shift_high = is_high ? kLn2High : (is_low ? -kLn2High : 0.0);
  const double shift_low = is_high ? kLn2Low : (is_low ? -kLn2Low : 0.0);
  return shift_high + (log + shift_low);
}

// Natural logarithm of x > 0; -infinity at 0.
PREFSCORE_INLINE double Log(double x) {
  const bool is_small = x < 0x1p-1000;
  const double normal = is_small ? x * 0x1p100 : x;
  // The exponent that leaves a mantissa in [sqrt(1/2), sqrt(2)).
  const int64_t bits = ToBits(normal) - 0x3fe6a09e667f3bcd;
  const int64_t exponent = static_cast<int64_t>(static_cast<uint64_t>(bits + (int64_t{1024} << 52)) >> 52) - 1024;
  const double mantissa = FromBits(ToBits(normal) - static_cast<int64_t>(static_cast<uint64_t>(exponent) << 52));
  // An integer to a double without a conversion instruction: AVX2 has none.
  const double power = FromBits(exponent + ToBits(kRoundingShift)) - kRoundingShift - (is_small ? 100.0 : 0.0);
  const double log = LogNear1(mantissa - 1.0);
  const double value = power * kLn2High + (log + power * kLn2Low);
  return x > 0 ? (x == __builtin_inf() ? x : value) : (x == 0 ? -__builtin_inf() : __builtin_nan(""));
}

// log(1 - exp(x)) for x < 0.
PREFSCORE_INLINE double Log1mExp(double x) {
  const double near = Log(-Expm1(x));
  const double far = Log1p(-Exp(x < -kLn2 ? x : -kLn2));
  return x > -kLn2 ? near : far;
}

}  // namespace
}  // namespace prefscore
