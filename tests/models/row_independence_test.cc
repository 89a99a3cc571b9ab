// SPDX-License-Identifier: Apache-2.0
#include "server/models/row_independence.h"

#include <gtest/gtest.h>

#include <bit>

namespace prefscore {
namespace {

constexpr std::int64_t kRows = 16, kColumns = 3;

float Value(std::int64_t row, std::int64_t column) { return 1.0f + static_cast<float>(row) + 0.25f * column; }

// A product whose value at one place of a tile may be off by the last bit.
MultiplyRows Product(std::function<bool(std::int64_t num_rows, std::int64_t row_in_tile)> is_off) {
  return [is_off](std::int64_t first_row, std::int64_t num_rows, float* out) {
    for (std::int64_t i = 0; i < num_rows; ++i) {
      for (std::int64_t column = 0; column < kColumns; ++column) {
        const auto bits = std::bit_cast<std::uint32_t>(Value(first_row + i, column));
        out[i * kColumns + column] = std::bit_cast<float>(bits + (column == 2 && is_off(num_rows, i)));
      }
    }
  };
}

TEST(RowIndependenceTest, FindsAHeightThatChangesTheLastBit) {
  EXPECT_TRUE(RowsAreIndependent(kRows, kColumns, Product([](auto, auto) { return false; })));
  for (std::int64_t height = 1; height <= kRows; ++height) {
    EXPECT_FALSE(RowsAreIndependent(kRows, kColumns, Product([&](auto rows, auto) { return rows == height; })))
        << height;
  }
}

TEST(RowIndependenceTest, FindsAPlaceInTheTileThatChangesTheLastBit) {
  for (std::int64_t place = 1; place < kRows; ++place) {
    EXPECT_FALSE(RowsAreIndependent(kRows, kColumns, Product([&](auto, auto row) { return row == place; }))) << place;
  }
}

// A bias is where the product starts to add up, which is another kernel than one that starts from nothing.
TEST(RowIndependenceTest, ABiasMakesAnotherKindOfEqualSize) {
  constexpr std::int64_t kIn = 4, kOut = 3;
  const std::vector<float> weights(kIn * kOut, 0.5f), bias(kOut, 1.0f);
  LinearView without;
  without.weight = {.data = reinterpret_cast<const std::byte*>(weights.data()), .num_out = kOut, .num_in = kIn,
                    .out_stride = kIn};
  LinearView with = without;
  with.bias = {.data = reinterpret_cast<const std::byte*>(bias.data()), .num_out = 1, .num_in = kOut,
               .out_stride = kOut};
  const ThreadPool pool(1);
  const PackedLinear plain(std::span(&without, 1), Precision::kFloat32, pool);
  const PackedLinear biased(std::span(&with, 1), Precision::kFloat32, pool);
  const std::vector<const PackedLinear*> all = {&plain, &biased, &plain, &biased};
  EXPECT_EQ(OneOfEachKind(all), (std::vector<const PackedLinear*>{&plain, &biased}));
}

TEST(RowIndependenceTest, HoldsForALinearHere) {
  constexpr std::int64_t kIn = 300, kOut = 100;
  std::vector<float> weights(kIn * kOut);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i * 37 % 101) / 100.0f - 0.5f;
  LinearView view;
  view.weight = {.data = reinterpret_cast<const std::byte*>(weights.data()), .num_out = kOut, .num_in = kIn,
                 .out_stride = kIn};
  for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16}) {
    if (!NumericsMode(precision).ok()) continue;
    EXPECT_TRUE(RowsAreIndependent(PackedLinear(std::span(&view, 1), precision, ThreadPool(1)), precision));
  }
}

}  // namespace
}  // namespace prefscore
