// SPDX-License-Identifier: Apache-2.0
// The elementary functions of the kernels against those of the C library in extended precision.
#include "server/objectives/kernels/vector_math.h"

#include <cfloat>
#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace prefscore {
namespace {

static_assert(LDBL_MANT_DIG >= 64, "the reference needs more digits than a double has");

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Distance in units in the last place of the double nearest to `exact`.
double UlpError(double found, long double exact) {
  const double nearest = static_cast<double>(exact);
  const double unit = std::fabs(std::nextafter(nearest, kInfinity) - nearest);
  return static_cast<double>(std::fabs(static_cast<long double>(found) - exact) / unit);
}

// The largest error over `count` points drawn by `draw`.
template <typename Draw, typename Function, typename Reference>
double LargestError(int count, Draw draw, Function function, Reference reference) {
  std::mt19937_64 generator(7);
  double largest = 0;
  for (int i = 0; i < count; ++i) {
    const double x = draw(generator);
    largest = std::fmax(largest, UlpError(function(x), reference(static_cast<long double>(x))));
  }
  return largest;
}

auto Uniform(double low, double high) {
  return
      [low, high](std::mt19937_64& generator) { return std::uniform_real_distribution<double>(low, high)(generator); };
}

// Of either sign, spread evenly over the magnitudes.
auto LogUniform(double low, double high, bool negative_too) {
  return [=](std::mt19937_64& generator) {
    const double magnitude = std::exp(std::uniform_real_distribution<double>(std::log(low), std::log(high))(generator));
    return negative_too && generator() % 2 == 0 ? -magnitude : magnitude;
  };
}

constexpr int kPoints = 1'000'000;
constexpr double kAllowed = 2.0;

TEST(VectorMathTest, Exp) {
  const auto exp = [](double x) { return Exp(x); };
  EXPECT_LE(LargestError(kPoints, Uniform(-707, 709.7), exp, expl), kAllowed);
  EXPECT_LE(LargestError(kPoints, LogUniform(1e-20, 1, true), exp, expl), kAllowed);
  EXPECT_LE(LargestError(kPoints, Uniform(-745, -708), exp, expl), kAllowed) << "subnormal results";
  EXPECT_EQ(Exp(0.0), 1.0);
  EXPECT_EQ(Exp(-746.0), 0.0);
  EXPECT_EQ(Exp(-1e300), 0.0);
  EXPECT_EQ(Exp(-kInfinity), 0.0);
  EXPECT_EQ(Exp(709.8), kInfinity);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Exp(std::nan(""))));
}

TEST(VectorMathTest, Expm1) {
  const auto expm1 = [](double x) { return Expm1(x); };
  EXPECT_LE(LargestError(kPoints, Uniform(-50, 709.7), expm1, expm1l), kAllowed);
  EXPECT_LE(LargestError(kPoints, Uniform(-2, 2), expm1, expm1l), kAllowed);
  EXPECT_LE(LargestError(kPoints, LogUniform(1e-300, 1, true), expm1, expm1l), kAllowed);
  EXPECT_EQ(Expm1(-1e6), -1.0);
  EXPECT_EQ(Expm1(1e6), kInfinity);
  EXPECT_EQ(Expm1(0.0), 0.0);
}

TEST(VectorMathTest, Log1p) {
  const auto log1p = [](double x) { return Log1p(x); };
  EXPECT_LE(LargestError(kPoints, Uniform(-0.5, 1), log1p, log1pl), kAllowed);
  EXPECT_LE(LargestError(kPoints, LogUniform(1e-300, 0.5, true), log1p, log1pl), kAllowed);
  EXPECT_EQ(Log1p(0.0), 0.0);
  EXPECT_EQ(Log1p(1.0), std::log(2.0));
  EXPECT_EQ(Log1p(5e-324), 5e-324);
}

TEST(VectorMathTest, Log) {
  const auto log = [](double x) { return Log(x); };
  EXPECT_LE(LargestError(kPoints, LogUniform(1e-300, 1e300, false), log, logl), kAllowed);
  EXPECT_LE(LargestError(kPoints, Uniform(0.5, 2), log, logl), kAllowed) << "near its root";
  EXPECT_LE(UlpError(Log(5e-324), logl(static_cast<long double>(5e-324))), kAllowed);
  EXPECT_EQ(Log(1.0), 0.0);
  EXPECT_EQ(Log(0.0), -kInfinity);
  EXPECT_EQ(Log(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Log(-1.0)));
}

TEST(VectorMathTest, Log1mExp) {
  const auto log1mexp = [](double x) { return Log1mExp(x); };
  const auto reference = [](long double x) { return x > -0.7L ? logl(-expm1l(x)) : log1pl(-expl(x)); };
  // Where the result crosses 0 in relative terms there is no root: it only tends to 0.
  EXPECT_LE(LargestError(kPoints, Uniform(-40, -1e-3), log1mexp, reference), 2 * kAllowed);
  EXPECT_LE(LargestError(
                kPoints, LogUniform(1e-300, 1, false), [](double x) { return Log1mExp(-x); },
                [&](long double x) { return reference(-x); }),
            2 * kAllowed);
}

}  // namespace
}  // namespace prefscore
