// SPDX-License-Identifier: Apache-2.0
#include "server/models/weight_reader.h"

#include <bit>
#include <cstring>

#include "server/models/row_ops.h"

namespace prefscore {
namespace {

float Bfloat16ToFloat(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

float Float16ToFloat(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t magnitude = bits & 0x7FFF;
  if (magnitude >= 0x7C00) return std::bit_cast<float>(sign | 0x7F800000 | (magnitude & 0x3FF) << 13);
  // A half's bits, 13 to the left, are the same number with its exponent 112 too small; subnormals come out right too.
  const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
}

template <typename Stored, typename Convert>
void ReadStrided(const WeightView& view, std::int64_t out_index, Convert convert, float* values) {
  const std::byte* element = view.data + out_index * view.out_stride * static_cast<std::int64_t>(sizeof(Stored));
  const std::int64_t step = view.in_stride * static_cast<std::int64_t>(sizeof(Stored));
  for (std::int64_t i = 0; i < view.num_in; ++i, element += step) {
    Stored stored;
    std::memcpy(&stored, element, sizeof(stored));
    values[i] = convert(stored);
  }
}

}  // namespace

float RoundTo(Precision precision, float value) {
  if (precision == Precision::kFloat32) return value;
  std::uint16_t rounded;
  GetRowOps().to_bfloat16(&value, 1, &rounded);
  return Bfloat16ToFloat(rounded);
}

void ReadWeightRow(const WeightView& view, std::int64_t out_index, Precision precision, float* values) {
  switch (view.dtype) {
    case DType::kFloat32:
      ReadStrided<float>(view, out_index, [](float stored) { return stored; }, values);
      break;
    case DType::kBfloat16:
      ReadStrided<std::uint16_t>(view, out_index, Bfloat16ToFloat, values);
      return;  // exact in either precision
    case DType::kFloat16:
      ReadStrided<std::uint16_t>(view, out_index, Float16ToFloat, values);
      break;
  }
  for (std::int64_t i = 0; i < view.num_in; ++i) values[i] = RoundTo(precision, values[i]);
}

std::vector<float> ReadWeightVector(const WeightView& view, Precision precision) {
  std::vector<float> values;
  if (view) {
    values.resize(view.num_in);
    ReadWeightRow(view, 0, precision, values.data());
  }
  return values;
}

}  // namespace prefscore
