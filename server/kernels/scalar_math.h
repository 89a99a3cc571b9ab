// SPDX-License-Identifier: Apache-2.0
// Scalar functions that kernels and their CPU twins share: written in single operations and explicit fused ones, so
// that both give the same bits (CMakeLists.txt turns contraction off).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define PREFSCORE_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define PREFSCORE_HOST_DEVICE inline
#endif

namespace prefscore::kernels {

template <typename To, typename From>
PREFSCORE_HOST_DEVICE To BitsAs(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

// A bfloat16 as its bits: no arithmetic, only the conversions below.
struct Bfloat16 {
  std::uint16_t bits;
};

PREFSCORE_HOST_DEVICE float ToFloat(float value) { return value; }

PREFSCORE_HOST_DEVICE float ToFloat(Bfloat16 value) {
  return BitsAs<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

// To the nearest, ties to even; NaN stays NaN, overflow is infinite.
template <typename Element>
PREFSCORE_HOST_DEVICE Element RoundTo(float value);

template <>
PREFSCORE_HOST_DEVICE float RoundTo<float>(float value) {
  return value;
}

template <>
PREFSCORE_HOST_DEVICE Bfloat16 RoundTo<Bfloat16>(float value) {
  const auto bits = BitsAs<std::uint32_t>(value);
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return {static_cast<std::uint16_t>(is_nan ? (bits >> 16) | 0x40u : rounded)};
}

// IEEE half precision, from its bits.
PREFSCORE_HOST_DEVICE float HalfToFloat(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t magnitude = bits & 0x7FFFu;
  if (magnitude >= 0x7C00u) return BitsAs<float>(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
  // A half's bits, 13 to the left, are the same number with its exponent 112 too small; subnormals come out right too.
  const float value = BitsAs<float>(magnitude << 13) * 5.192296858534828e+33f;  // 2^112
  return BitsAs<float>(BitsAs<std::uint32_t>(value) | sign);
}

// e^x; relative error below 1.2e-7; 0 below -87, infinite above 88, NaN for NaN.
PREFSCORE_HOST_DEVICE float Exp(float x) {
  if (x < -87.0f) return 0.0f;
  if (x > 88.0f) return BitsAs<float>(0x7F800000u);
  if (x != x) return x;
  // x = exponent * ln 2 + r with |r| <= ln 2 / 2.
  const float exponent = fmaf(x, 1.44269504f, 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  float r = fmaf(exponent, -0.693145752f, x);
  r = fmaf(exponent, -1.42860677e-6f, r);
  float series = 1.0f / 5040;
  series = fmaf(series, r, 1.0f / 720);
  series = fmaf(series, r, 1.0f / 120);
  series = fmaf(series, r, 1.0f / 24);
  series = fmaf(series, r, 1.0f / 6);
  series = fmaf(series, r, 0.5f);
  series = fmaf(series, r, 1.0f);
  series = fmaf(series, r, 1.0f);
  return series * BitsAs<float>(static_cast<std::uint32_t>(static_cast<int>(exponent) + 127) << 23);
}

// e^x for x <= 0; relative error below 1e-15; 0 below -700, NaN for NaN.
PREFSCORE_HOST_DEVICE double ExpOfNegative(double x) {
  if (x < -700.0) return 0.0;
  if (x != x) return x;
  const double exponent = fma(x, 1.4426950408889634, 6755399441055744.0) - 6755399441055744.0;  // 1.5 * 2^52
  double r = fma(exponent, -0.6931471805599453, x);
  r = fma(exponent, -2.3190468138462996e-17, r);
  double series = 1.0 / 6227020800.0;
  series = fma(series, r, 1.0 / 479001600.0);
  series = fma(series, r, 1.0 / 39916800.0);
  series = fma(series, r, 1.0 / 3628800.0);
  series = fma(series, r, 1.0 / 362880.0);
  series = fma(series, r, 1.0 / 40320.0);
  series = fma(series, r, 1.0 / 5040.0);
  series = fma(series, r, 1.0 / 720.0);
  series = fma(series, r, 1.0 / 120.0);
  series = fma(series, r, 1.0 / 24.0);
  series = fma(series, r, 1.0 / 6.0);
  series = fma(series, r, 0.5);
  series = fma(series, r, 1.0);
  series = fma(series, r, 1.0);
  return series * BitsAs<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(exponent) + 1023) << 52);
}

// Relative error below 4e-7.
PREFSCORE_HOST_DEVICE float Tanh(float x) {
  const float square = x * x;
  if (square < 0.390625f) {  // an odd series (a minimax fit on |x| <= 0.625) keeps the relative error small near 0
    float series = -0.00611319f;
    series = fmaf(series, square, 0.02101008f);
    series = fmaf(series, square, -0.05385407f);
    series = fmaf(series, square, 0.13332795f);
    series = fmaf(series, square, -0.33333329f);
    return fmaf(x * square, series, x);
  }
  const float doubled = 2.0f * x;
  return 1.0f - 2.0f / (Exp(doubled > 40.0f ? 40.0f : doubled) + 1.0f);
}

}  // namespace prefscore::kernels
