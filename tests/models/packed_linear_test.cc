// SPDX-License-Identifier: Apache-2.0
#include "server/models/packed_linear.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "server/models/weight_reader.h"

namespace prefscore {
namespace {

// A matrix of one of the three storage types, with its values. [num_out][num_in]
struct Stored {
  std::vector<std::byte> bytes;
  std::vector<float> values;
  WeightView view;
};

float Float16Value(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return static_cast<float>(bits & 0x8000 ? -magnitude : magnitude);
}

Stored MakeStored(DType dtype, std::int64_t num_out, std::int64_t num_in, std::mt19937& random) {
  Stored stored;
  const std::size_t size = dtype == DType::kFloat32 ? 4 : 2;
  stored.bytes.resize(1 + num_out * num_in * size);  // views may be unaligned
  for (std::int64_t i = 0; i < num_out * num_in; ++i) {
    const float uniform = static_cast<float>(random()) * 0x1p-31f - 1.0f;
    std::uint32_t bits = std::bit_cast<std::uint32_t>(uniform);
    if (dtype == DType::kBfloat16) bits >>= 16;
    if (dtype == DType::kFloat16) bits = random() % 0x3C00 | (random() % 2) << 15;  // below 1, subnormals too
    std::memcpy(&stored.bytes[1 + i * size], &bits, size);
    stored.values.push_back(dtype == DType::kFloat32    ? uniform
                            : dtype == DType::kBfloat16 ? std::bit_cast<float>(bits << 16)
                                                        : Float16Value(static_cast<std::uint16_t>(bits)));
  }
  stored.view = {.data = stored.bytes.data() + 1,
                 .dtype = dtype,
                 .num_out = num_out,
                 .num_in = num_in,
                 .out_stride = num_in};
  return stored;
}

class PackedLinearTest : public ::testing::TestWithParam<std::tuple<DType, Precision>> {};

TEST_P(PackedLinearTest, JoinsViewsAndAddsBiases) {
  constexpr std::int64_t kRows = 67, kIn = 37, kFirst = 50, kSecond = 91;
  const auto& [dtype, precision] = GetParam();
  if (!NumericsMode(precision).ok()) GTEST_SKIP() << "no such arithmetic on this CPU";
  std::mt19937 random(4);
  const Stored first = MakeStored(dtype, kFirst, kIn, random), second = MakeStored(dtype, kSecond, kIn, random);
  const Stored bias = MakeStored(dtype, 1, kSecond, random), x = MakeStored(DType::kBfloat16, kRows, kIn, random);
  const LinearView views[] = {{first.view, {}}, {second.view, bias.view}};
  const ThreadPool pool(2);
  const PackedLinear linear(views, precision, pool);
  ASSERT_EQ(linear.num_out(), kFirst + kSecond);
  GemmInput input(precision, kRows, kIn);
  for (std::int64_t row = 0; row < kRows; ++row) input.Store(row, 0, &x.values[row * kIn], kIn);
  Matrix<float> output(kRows, linear.num_out());
  linear.Multiply(input, pool, output);

  // Rounding a weight to bfloat16 loses up to 2^-9 of it.
  const double tolerance = precision == Precision::kBfloat16 && dtype != DType::kBfloat16 ? 37.0 / 512 : 1e-5;
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t out = 0; out < linear.num_out(); ++out) {
      const bool is_first = out < kFirst;
      const float* weight = &(is_first ? first : second).values[(is_first ? out : out - kFirst) * kIn];
      double expected = is_first ? 0.0 : bias.values[out - kFirst];
      for (std::int64_t k = 0; k < kIn; ++k) expected += static_cast<double>(weight[k]) * x.values[row * kIn + k];
      ASSERT_NEAR(output.row(row)[out], expected, tolerance) << row << " " << out;
    }
  }
}

TEST_P(PackedLinearTest, GivesRowsBackAsTheyWerePacked) {
  constexpr std::int64_t kIn = 131, kOut = 150;
  const auto& [dtype, precision] = GetParam();
  if (!NumericsMode(precision).ok()) GTEST_SKIP() << "no such arithmetic on this CPU";
  std::mt19937 random(5);
  const Stored stored = MakeStored(dtype, kOut, kIn, random);
  const LinearView view{stored.view, {}};
  const PackedLinear linear(std::span(&view, 1), precision, ThreadPool(2));
  std::vector<float> row(kIn), expected(kIn);
  for (std::int64_t out = 0; out < kOut; ++out) {
    linear.ReadRow(out, row.data());
    ReadWeightRow(stored.view, out, precision, expected.data());
    ASSERT_EQ(row, expected) << out;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, PackedLinearTest,
                         ::testing::Combine(::testing::Values(DType::kFloat32, DType::kBfloat16, DType::kFloat16),
                                            ::testing::Values(Precision::kFloat32, Precision::kBfloat16)));

TEST(RowBlockTest, CoversAllRowsOnce) {
  for (std::int64_t num_rows = 1; num_rows < 400; ++num_rows) {
    const std::int64_t num_blocks = NumRowBlocks(num_rows);
    std::int64_t next = 0;
    for (std::int64_t block = 0; block < num_blocks; ++block) {
      const RowRange rows = RowBlock(num_rows, num_blocks, block);
      EXPECT_EQ(rows.first, next);
      EXPECT_GE(rows.count, 1);
      EXPECT_LE(rows.count, PackedLinear::kTileRows);
      EXPECT_EQ(rows.first % 16, 0);
      next += rows.count;
    }
    EXPECT_EQ(next, num_rows);
  }
}

}  // namespace
}  // namespace prefscore
