// SPDX-License-Identifier: Apache-2.0
#include "server/models/row_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace prefscore {
namespace {

using Row = std::vector<float>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class RowOpsTest : public ::testing::TestWithParam<const RowOps*> {
 protected:
  void SetUp() override {
    if (GetParam() == &kRowOpsAvx512 && !__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "no AVX-512 here";
  }

  Row Random(std::size_t size, float range) {
    Row row(size);
    for (float& value : row) value = range * (static_cast<float>(random_()) * 0x1p-31f - 1.0f);
    return row;
  }

  // Largest relative error of an elementwise operation over sizes on both sides of the registers' width.
  template <typename Operation, typename Exact>
  double LargestError(float range, const Operation& operation, const Exact& exact) {
    double largest = 0.0;
    for (const std::size_t size : {1, 7, 8, 15, 16, 33, 1000}) {
      const Row x = Random(size, range);
      Row y = x;
      operation(y.data(), size);
      for (std::size_t i = 0; i < size; ++i) {
        const double expected = exact(static_cast<double>(x[i]));
        largest = std::max(largest, std::abs(y[i] - expected) / std::max(std::abs(expected), 1e-20));
      }
    }
    return largest;
  }

  const RowOps& ops_ = *GetParam();
  std::mt19937 random_{1};
};

TEST_P(RowOpsTest, Silu) {
  EXPECT_LT(LargestError(20.0f, ops_.silu, [](double x) { return x / (1.0 + std::exp(-x)); }), 2e-6);
}

// The error of the exponent, about 40, shows in the result.
TEST_P(RowOpsTest, GeluTanh) {
  EXPECT_LT(LargestError(4.0f, ops_.gelu_tanh,
                         [](double x) {
                           return x / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
                         }),
            5e-6);
}

TEST_P(RowOpsTest, GeluErf) {
  EXPECT_LT(LargestError(4.0f, ops_.gelu_erf, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }), 5e-6);
}

TEST_P(RowOpsTest, Relu) {
  EXPECT_EQ(LargestError(4.0f, ops_.relu, [](double x) { return std::max(x, 0.0); }), 0.0);
}

TEST_P(RowOpsTest, SoftcapIsExactNearZeroAndFarOut) {
  const auto softcap = [&](float* x, std::int64_t size) { ops_.softcap(30.0f, x, size); };
  const auto exact = [](double x) { return 30.0 * std::tanh(x / 30.0); };
  for (const float range : {1e-3f, 10.0f, 40.0f, 1e4f}) EXPECT_LT(LargestError(range, softcap, exact), 4e-7) << range;
}

TEST_P(RowOpsTest, RmsNorm) {
  const Row x = Random(771, 3.0f), weight = Random(771, 1.0f);
  Row y(x.size());
  ops_.rms_norm(x.data(), weight.data(), 771, 1e-3f, y.data());
  double square = 0.0;
  for (const float value : x) square += static_cast<double>(value) * value / 771.0;
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], x[i] / std::sqrt(square + 1e-3) * weight[i], 1e-6);
}

TEST_P(RowOpsTest, LayerNorm) {
  const Row x = Random(101, 3.0f), weight = Random(101, 1.0f), bias = Random(101, 1.0f);
  Row y(x.size()), without_bias(x.size());
  ops_.layer_norm(x.data(), weight.data(), bias.data(), 101, 1e-3f, y.data());
  ops_.layer_norm(x.data(), weight.data(), nullptr, 101, 1e-3f, without_bias.data());
  double mean = 0.0, variance = 0.0;
  for (const float value : x) mean += value / 101.0;
  for (const float value : x) variance += (value - mean) * (value - mean) / 101.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = (x[i] - mean) / std::sqrt(variance + 1e-3) * weight[i];
    EXPECT_NEAR(y[i], expected + bias[i], 2e-6);
    EXPECT_NEAR(without_bias[i], expected, 2e-6);
  }
}

TEST_P(RowOpsTest, RotateTurnsPairs) {
  const Row cosines = {0.6f, -1.0f}, sines = {0.8f, 0.0f};
  Row x = {1.0f, 2.0f, 3.0f, 4.0f};
  ops_.rotate(cosines.data(), sines.data(), 2, x.data());
  EXPECT_FLOAT_EQ(x[0], 0.6f - 2.4f);
  EXPECT_FLOAT_EQ(x[2], 1.8f + 0.8f);
  EXPECT_FLOAT_EQ(x[1], -2.0f);
  EXPECT_FLOAT_EQ(x[3], -4.0f);
}

TEST_P(RowOpsTest, ExpScoresLeavesTheHoleOut) {
  for (const float cap : {0.0f, 2.0f}) {
    const Row x = Random(40, 9.0f);
    Row y = x;
    const float sum = ops_.exp_scores(0.5f, cap, 10, 13, y.data(), 40);
    double largest = -1e9, expected_sum = 0.0;
    const auto score = [&](int i) { return cap > 0.0f ? cap * std::tanh(0.5 * x[i] / cap) : 0.5 * x[i]; };
    for (int i = 0; i < 40; ++i) {
      if (i < 10 || i >= 13) largest = std::max(largest, score(i));
    }
    for (int i = 0; i < 40; ++i) {
      const double expected = i < 10 || i >= 13 ? std::exp(score(i) - largest) : 0.0;
      EXPECT_NEAR(y[i], expected, 1e-6);
      expected_sum += expected;
    }
    EXPECT_EQ(y[11], 0.0f);
    EXPECT_NEAR(sum, expected_sum, 1e-5);
  }
}

TEST_P(RowOpsTest, AccumulateExpOverPieces) {
  Row x = Random(333, 30.0f);
  x[200] = 90.0f;  // the maximum moves late
  float maximum = -kInfinity;
  double sum = 0.0, expected = 0.0;
  for (std::size_t first = 0; first < x.size(); first += 64) {
    ops_.accumulate_exp(x.data() + first, std::min<std::int64_t>(64, 333 - first), &maximum, &sum);
  }
  for (const float value : x) expected += std::exp(static_cast<double>(value) - 90.0);
  EXPECT_EQ(maximum, 90.0f);
  EXPECT_NEAR(sum, expected, 1e-6);
}

TEST_P(RowOpsTest, NanStaysNan) {
  for (const std::size_t position : {0u, 5u, 16u, 18u}) {
    Row x(19, 0.5f);
    x[position] = std::numeric_limits<float>::quiet_NaN();
    Row scores = x;
    EXPECT_TRUE(std::isnan(ops_.exp_scores(1.0f, 0.0f, 0, 0, scores.data(), 19)));
    scores = x;
    EXPECT_TRUE(std::isnan(ops_.exp_scores(1.0f, 3.0f, 0, 0, scores.data(), 19)));
    float maximum = -kInfinity;
    double sum = 0.0;
    ops_.accumulate_exp(x.data(), 19, &maximum, &sum);
    EXPECT_TRUE(std::isnan(sum));
  }
}

TEST_P(RowOpsTest, Bfloat16RoundsToNearestEven) {
  const auto round = [&](std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    std::uint16_t rounded;
    ops_.to_bfloat16(&value, 1, &rounded);
    return rounded;
  };
  EXPECT_EQ(round(0x3F808000), 0x3F80);  // halfway, even below
  EXPECT_EQ(round(0x3F818000), 0x3F82);  // halfway, even above
  EXPECT_EQ(round(0x3F808001), 0x3F81);
  EXPECT_EQ(round(0x7F7FFFFF), 0x7F80);  // overflows to infinity
  EXPECT_EQ(round(0x7F800001), 0x7FC0);  // a NaN whose high bits are those of infinity
  EXPECT_EQ(round(0x80000000), 0x8000);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, RowOpsTest, ::testing::Values(&kRowOpsAvx2, &kRowOpsAvx512),
                         [](const auto& info) { return info.param == &kRowOpsAvx2 ? "avx2" : "avx512"; });

}  // namespace
}  // namespace prefscore
