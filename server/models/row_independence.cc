// SPDX-License-Identifier: Apache-2.0
#include "server/models/row_independence.h"

#include <cstring>
#include <random>
#include <set>
#include <tuple>
#include <vector>

namespace prefscore {

bool RowsAreIndependent(std::int64_t max_rows, std::int64_t num_columns, const MultiplyRows& multiply) {
  const std::int64_t num_rows = 2 * max_rows;
  std::vector<float> alone(num_rows * num_columns);
  for (std::int64_t row = 0; row < num_rows; ++row) multiply(row, 1, &alone[row * num_columns]);
  std::vector<float> tile(max_rows * num_columns);
  for (std::int64_t height = 2; height <= max_rows; ++height) {
    const std::int64_t first = height * 7 % max_rows;  // so that a row is met at many places of a tile
    multiply(first, height, tile.data());
    if (std::memcmp(tile.data(), &alone[first * num_columns], height * num_columns * sizeof(float)) != 0) return false;
  }
  return true;
}

std::vector<const PackedLinear*> OneOfEachKind(std::span<const PackedLinear* const> linears) {
  std::set<std::tuple<std::int64_t, std::int64_t, bool>> kinds;
  std::vector<const PackedLinear*> found;
  for (const PackedLinear* linear : linears) {
    if (kinds.insert({linear->num_in(), linear->num_out(), linear->has_bias()}).second) found.push_back(linear);
  }
  return found;
}

bool RowsAreIndependent(const PackedLinear& linear, Precision precision) {
  constexpr std::int64_t kMaxRows = PackedLinear::kTileRows;
  std::minstd_rand random(1);
  GemmInput input(precision, 2 * kMaxRows, linear.num_in());
  std::vector<float> values(linear.num_in());
  for (std::int64_t row = 0; row < input.num_rows(); ++row) {
    for (float& value : values) value = static_cast<float>(random()) * 0x1p-30f - 1.0f;
    input.Store(row, 0, values.data(), linear.num_in());
  }
  std::set<std::int64_t> panels = {0, linear.num_panels() - 1};  // the last may be narrower
  if (linear.panel_columns(0) == linear.panel_columns(linear.num_panels() - 1)) panels = {0};
  for (const std::int64_t panel : panels) {
    const std::int64_t num_columns = linear.panel_columns(panel);
    const auto multiply = [&](std::int64_t first_row, std::int64_t num_rows, float* out) {
      linear.MultiplyTile(input, first_row, num_rows, panel, out, num_columns);
    };
    if (!RowsAreIndependent(kMaxRows, num_columns, multiply)) return false;
  }
  return true;
}

}  // namespace prefscore
