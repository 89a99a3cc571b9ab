// SPDX-License-Identifier: Apache-2.0
#include "server/models/weight_reader.h"

#include <algorithm>
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

template <typename Stored>
Stored LoadAt(const std::byte* address) {
  Stored stored;
  std::memcpy(&stored, address, sizeof(stored));
  return stored;
}

template <typename Stored, typename Convert>
void ReadStrided(const WeightView& view, std::int64_t out_index, std::int64_t first_in, std::int64_t count,
                 Convert convert, float* values) {
  constexpr std::int64_t kBytes = sizeof(Stored);
  const std::byte* element = view.data + (out_index * view.out_stride + first_in * view.in_stride) * kBytes;
  if (view.in_stride == 1) {  // the usual case, as a loop that the compiler vectorises
    for (std::int64_t i = 0; i < count; ++i) values[i] = convert(LoadAt<Stored>(element + i * kBytes));
  } else {
    const std::int64_t step = view.in_stride * kBytes;
    for (std::int64_t i = 0; i < count; ++i) values[i] = convert(LoadAt<Stored>(element + i * step));
  }
}

void RoundAll(Precision precision, std::int64_t count, float* values) {
  if (precision == Precision::kFloat32) return;
  constexpr std::int64_t kBlock = 256;
  std::uint16_t rounded[kBlock];
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t size = std::min(kBlock, count - first);
    GetRowOps().to_bfloat16(values + first, size, rounded);
    for (std::int64_t i = 0; i < size; ++i) values[first + i] = Bfloat16ToFloat(rounded[i]);
  }
}

}  // namespace

float RoundTo(Precision precision, float value) {
  RoundAll(precision, 1, &value);
  return value;
}

void ReadWeights(const WeightView& view, std::int64_t out_index, std::int64_t first_in, std::int64_t count,
                 Precision precision, float* values) {
  switch (view.dtype) {
    case DType::kFloat32:
      ReadStrided<float>(view, out_index, first_in, count, [](float stored) { return stored; }, values);
      break;
    case DType::kBfloat16:
      ReadStrided<std::uint16_t>(view, out_index, first_in, count, Bfloat16ToFloat, values);
      return;  // exact in either precision
    case DType::kFloat16:
      ReadStrided<std::uint16_t>(view, out_index, first_in, count, Float16ToFloat, values);
      break;
  }
  RoundAll(precision, count, values);
}

void ReadWeightRow(const WeightView& view, std::int64_t out_index, Precision precision, float* values) {
  ReadWeights(view, out_index, 0, view.num_in, precision, values);
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
