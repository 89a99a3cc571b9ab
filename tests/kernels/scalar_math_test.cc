// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/scalar_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "server/kernels/activations.h"

namespace prefscore::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Largest relative error of function over [begin, end).
template <typename Function, typename Exact>
double LargestError(double begin, double end, const Function& function, const Exact& exact) {
  std::mt19937_64 random(1);
  double largest = 0.0;
  for (int i = 0; i < 200'000; ++i) {
    const auto x = static_cast<float>(begin + (end - begin) * (static_cast<double>(random() >> 11) * 0x1p-53));
    const double expected = exact(static_cast<double>(x));
    largest = std::max(largest, std::abs(static_cast<double>(function(x)) - expected) / std::abs(expected));
  }
  return largest;
}

TEST(ScalarMathTest, Exp) {
  EXPECT_LT(LargestError(-87.0, 88.0, Exp, [](double x) { return std::exp(x); }), 1.2e-7);
  EXPECT_LT(LargestError(-1e-3, 1e-3, Exp, [](double x) { return std::exp(x); }), 1.2e-7);
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-kInfinity), 0.0f);
  EXPECT_EQ(Exp(-88.0f), 0.0f);
  EXPECT_EQ(Exp(89.0f), kInfinity);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Exp(std::nanf(""))));
}

TEST(ScalarMathTest, ExpOfNegative) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const double x = -700.0 * static_cast<double>(random() >> 11) * 0x1p-53;
    ASSERT_NEAR(ExpOfNegative(x) / std::exp(x), 1.0, 1e-15) << x;
  }
  EXPECT_EQ(ExpOfNegative(0.0), 1.0);
  EXPECT_EQ(ExpOfNegative(-std::numeric_limits<double>::infinity()), 0.0);
  EXPECT_TRUE(std::isnan(ExpOfNegative(std::nan(""))));
}

TEST(ScalarMathTest, Tanh) {
  for (const double range : {1e-4, 0.6, 1.0, 20.0, 1e4}) {
    EXPECT_LT(LargestError(-range, range, Tanh, [](double x) { return std::tanh(x); }), 4e-7) << range;
  }
  EXPECT_EQ(Tanh(kInfinity), 1.0f);
  EXPECT_EQ(Tanh(-kInfinity), -1.0f);
  EXPECT_TRUE(std::isnan(Tanh(std::nanf(""))));
}

// Every pattern of 16 bits, there and back; and ties, overflow and NaN.
TEST(ScalarMathTest, Bfloat16) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Bfloat16 element{static_cast<std::uint16_t>(bits)};
    const float value = ToFloat(element);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(ToFloat(RoundTo<Bfloat16>(value))));
    } else {
      ASSERT_EQ(RoundTo<Bfloat16>(value).bits, bits);
    }
  }
  EXPECT_EQ(ToFloat(RoundTo<Bfloat16>(1.0f + 0x1p-8f)), 1.0f);               // a tie, to even
  EXPECT_EQ(ToFloat(RoundTo<Bfloat16>(1.0f + 0x3p-8f)), 1.0f + 0x1p-6f);     // a tie, to even
  EXPECT_EQ(ToFloat(RoundTo<Bfloat16>(1.0f + 0x1.1p-8f)), 1.0f + 0x1p-7f);
  EXPECT_EQ(ToFloat(RoundTo<Bfloat16>(3.4e38f)), kInfinity);
}

TEST(ScalarMathTest, HalfToFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = HalfToFloat(static_cast<std::uint16_t>(bits));
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const auto fraction = static_cast<double>(bits & 1023);
    const double sign = bits >> 15 ? -1.0 : 1.0;
    if (exponent == 31) {
      EXPECT_TRUE(fraction > 0 ? std::isnan(value) : value == sign * kInfinity);
    } else {
      const double magnitude = exponent > 0 ? std::ldexp(1024.0 + fraction, exponent - 25) : std::ldexp(fraction, -24);
      ASSERT_EQ(value, sign * magnitude);
    }
  }
}

TEST(ScalarMathTest, Activations) {
  const auto activated = [](Activation activation) { return [=](float x) { return Activated(activation, x); }; };
  const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  EXPECT_LT(LargestError(-20.0, 20.0, activated(Activation::kSilu), [&](double x) { return x * sigmoid(x); }), 4e-7);
  // The error of the exponent, about 40, shows in the result.
  EXPECT_LT(LargestError(-4.0, 4.0, activated(Activation::kGeluTanh),
                         [&](double x) {
                           return x * sigmoid(2.0 * std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x));
                         }),
            5e-6);
  EXPECT_LT(LargestError(-4.0, 4.0, activated(Activation::kGeluErf),
                         [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }),
            1e-7);
  EXPECT_EQ(Activated(Activation::kRelu, -2.0f), 0.0f);
  EXPECT_EQ(Activated(Activation::kRelu, 2.0f), 2.0f);
  for (const Activation activation :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu}) {
    EXPECT_TRUE(std::isnan(Activated(activation, std::nanf(""))));
    EXPECT_EQ(Activated(activation, 1e30f), 1e30f);
    EXPECT_EQ(Activated(activation, -1e4f), 0.0f);
  }
}

}  // namespace
}  // namespace prefscore::kernels
