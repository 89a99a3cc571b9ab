// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/reproducible_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

ReproducibleSum SumOf(std::span<const double> values) {
  ReproducibleSum sum;
  sum.Add(values);
  return sum;
}

std::uint64_t Bits(double value) { return std::bit_cast<std::uint64_t>(value); }

// The same in chunks of random sizes, spread over sums that are merged in random order.
double SumInPieces(const std::vector<double>& values, std::mt19937_64& random) {
  std::vector<ReproducibleSum> sums(1 + random() % 5);
  for (std::size_t begin = 0; begin < values.size();) {
    const std::size_t count = std::min<std::size_t>(values.size() - begin, 1 + random() % 1500);
    sums[random() % sums.size()].Add({values.data() + begin, count});
    begin += count;
  }
  std::shuffle(sums.begin(), sums.end(), random);
  ReproducibleSum total;
  for (const ReproducibleSum& sum : sums) total.Merge(sum);
  return total.Value();
}

TEST(ReproducibleSum, OfNothingIsZero) {
  EXPECT_EQ(ReproducibleSum().Value(), 0.0);
  EXPECT_FALSE(std::signbit(SumOf(std::vector<double>{-0.0, 0.0}).Value()));
}

TEST(ReproducibleSum, IsExactWhereTheLevelsHoldAllBits) {
  EXPECT_EQ(SumOf(std::vector<double>{1e16, 1.0, -1e16}).Value(), 1.0);
  EXPECT_EQ(SumOf(std::vector<double>(10, 0.1)).Value(), 1.0);  // ten times the double next to 0.1, rounded once
  EXPECT_EQ(SumOf(std::vector<double>(3000, 0.25)).Value(), 750.0);
  EXPECT_EQ(SumOf(std::vector<double>{1e300, -1e300, 3.0}).Value(), 0.0);  // 3 is 2^-80 of nothing here
}

TEST(ReproducibleSum, RoundsHalfToEven) {
  EXPECT_EQ(SumOf(std::vector<double>{1.0, 0x1p-53}).Value(), 1.0);
  EXPECT_EQ(SumOf(std::vector<double>{1.0, 0x1p-53, 0x1p-78}).Value(), 1.0 + 0x1p-52);
  EXPECT_EQ(SumOf(std::vector<double>{1.0 + 0x1p-52, 0x1p-53}).Value(), 1.0 + 0x1p-51);
  EXPECT_EQ(SumOf(std::vector<double>{-1.0, -0x1p-53, -0x1p-78}).Value(), -1.0 - 0x1p-52);
}

TEST(ReproducibleSum, HasTheSameBitsInAnyOrderChunkingAndMerging) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 400; ++round) {
    // Exponents from a range of random width: from all alike to all of 1e-300 to 1e300.
    const double lowest = std::uniform_real_distribution(-300.0, 300.0)(random);
    const double width = std::uniform_real_distribution(0.0, 1.0)(random) * (300.0 - lowest);
    std::uniform_real_distribution<double> exponent(lowest, lowest + width);
    std::vector<double> values(1 + random() % 4000);
    for (double& value : values) {
      value = std::pow(10.0, exponent(random)) * (random() % 2 == 0 ? 1 : -1);
      if (random() % 20 == 0) value = random() % 2 == 0 ? 0.0 : -0.0;
      if (random() % 20 == 0) value = std::ldexp(1.5, static_cast<int>(random() % 1990) - 995);  // ties
      if (random() % 20 == 0) value = std::ldexp(1.0, 40 * (static_cast<int>(random() % 48) - 24) - 1);
      if (round % 10 == 0) value = std::ldexp(value, -700);  // down to subnormal
    }
    const std::uint64_t expected = Bits(SumOf(values).Value());
    for (int shuffle = 0; shuffle < 4; ++shuffle) {
      std::shuffle(values.begin(), values.end(), random);
      ASSERT_EQ(Bits(SumInPieces(values, random)), expected) << "round " << round;
    }
    std::sort(values.begin(), values.end(), [](double x, double y) { return std::fabs(x) < std::fabs(y); });
    ASSERT_EQ(Bits(SumOf(values).Value()), expected) << "round " << round << ", ascending";
    std::reverse(values.begin(), values.end());
    ASSERT_EQ(Bits(SumOf(values).Value()), expected) << "round " << round << ", descending";
  }
}

TEST(ReproducibleSum, IsWithinItsBoundOfTheExactSum) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; ++round) {
    // Integers of at most 2^36, scaled: Int128 sums them exactly.
    std::uniform_int_distribution<std::int64_t> integer(-(std::int64_t{1} << 52), std::int64_t{1} << 52);
    const int shift = static_cast<int>(random() % 48);
    const int scale = static_cast<int>(random() % 1500) - 800;
    std::vector<double> values(1 + random() % 3000);
    Int128 exact = 0;
    for (double& value : values) {
      const std::int64_t whole = integer(random) >> (random() % 2 == 0 ? 0 : shift);
      exact += whole;
      value = std::ldexp(static_cast<double>(whole), scale);
    }
    EXPECT_EQ(SumOf(values).Value(), std::ldexp(static_cast<double>(exact), scale)) << "round " << round;
  }
}

TEST(ReproducibleSum, KeepsEightyBitsBelowTheLargestAddend) {
  for (int exponent = -500; exponent <= 500; ++exponent) {
    const std::vector<double> values = {std::ldexp(1.0, exponent), std::ldexp(1.0, exponent - 79),
                                        -std::ldexp(1.0, exponent)};
    EXPECT_NEAR(SumOf(values).Value() / values[1], 1.0, 0.5 * 0x1p-80 / 0x1p-79 + 1e-9) << exponent;
  }
}

TEST(ReproducibleSum, AddsProductsExactly) {
  // (1 + e)^2 - (1 + 2e) = e^2, which a rounded square would lose.
  const double e = 0x1p-30;
  ReproducibleSum sum;
  sum.AddProducts(std::vector<double>{1 + e}, std::vector<double>{1 + e});
  sum.Add(std::vector<double>{-1 - 2 * e});
  EXPECT_EQ(sum.Value(), e * e);
}

TEST(ReproducibleSum, OfProductsHasTheSameBitsInAnyOrder) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-60.0, 60.0);
  for (int round = 0; round < 100; ++round) {
    std::vector<std::pair<double, double>> pairs(1 + random() % 3000);
    for (auto& [x, y] : pairs) {
      x = std::pow(10.0, exponent(random));
      y = -std::pow(10.0, exponent(random));
    }
    std::vector<std::uint64_t> bits;
    for (int shuffle = 0; shuffle < 3; ++shuffle) {
      std::shuffle(pairs.begin(), pairs.end(), random);
      std::vector<double> xs, ys;
      for (const auto& [x, y] : pairs) xs.push_back(x), ys.push_back(y);
      const std::size_t half = pairs.size() / 2;
      ReproducibleSum sum, other;
      sum.AddProducts({xs.data(), half}, {ys.data(), half});
      other.AddProducts(std::span(xs).subspan(half), std::span(ys).subspan(half));
      sum.Merge(other);
      bits.push_back(Bits(sum.Value()));
    }
    EXPECT_THAT(bits, ::testing::Each(bits.front()));
  }
}

TEST(ReproducibleSum, IsWhatItsNonFiniteAddendsAre) {
  EXPECT_EQ(SumOf(std::vector<double>{1, kInfinity, 2}).Value(), kInfinity);
  EXPECT_EQ(SumOf(std::vector<double>{1, -kInfinity, -kInfinity}).Value(), -kInfinity);
  EXPECT_TRUE(std::isnan(SumOf(std::vector<double>{kInfinity, -kInfinity}).Value()));
  EXPECT_TRUE(std::isnan(SumOf(std::vector<double>{1, std::nan("")}).Value()));
  EXPECT_EQ(SumOf(std::vector<double>{0x1p999}).Value(), kInfinity);
  EXPECT_EQ(SumOf(std::vector<double>{std::nextafter(0x1p999, 0)}).Value(), std::nextafter(0x1p999, 0));
  ReproducibleSum merged = SumOf(std::vector<double>{1});
  merged.Merge(SumOf(std::vector<double>{kInfinity}));
  EXPECT_EQ(merged.Value(), kInfinity);
}

TEST(ReproducibleSum, WideValueIsQuadruplePrecision) {
  const ReproducibleSum sum = SumOf(std::vector<double>{1.0, 0x1p-70});
  EXPECT_EQ(sum.Value(), 1.0);
  EXPECT_EQ(static_cast<double>(sum.WideValue() - 1), 0x1p-70);
}

}  // namespace
}  // namespace prefscore
