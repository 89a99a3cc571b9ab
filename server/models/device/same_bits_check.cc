// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/same_bits_check.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "absl/strings/str_cat.h"
#include "server/models/device/device_forward.h"
#include "server/models/row_ops.h"

namespace prefscore {
namespace {

using kernels::ElementType;

// Row counts that libraries like to treat apart: one row, tile edges, whole waves, odd ones in between.
constexpr std::int64_t kRowCounts[] = {1, 2, 17, 64, 65, 100, 128, 129, 250, 256, 512, 777, 1024, 2048, 3000, 4096};

DeviceBuffer RandomRows(Device& device, ElementType element, std::int64_t count) {
  std::mt19937 random(1);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random()) * 0x1p-31f - 1.0f;
  if (element == ElementType::kFloat32) return Upload(device, values.data(), values.size() * sizeof(float));
  std::vector<std::uint16_t> rounded(count);
  GetRowOps().to_bfloat16(values.data(), count, rounded.data());
  return Upload(device, rounded.data(), rounded.size() * sizeof(std::uint16_t));
}

}  // namespace

std::vector<MatMulShape> MatMulShapes(const DecoderConfig& config, const DeviceWeights& weights, ElementType element) {
  std::vector<MatMulShape> shapes;
  const auto add = [&](const MatMulShape& shape) {
    const auto same = [&](const MatMulShape& other) { return SameShape(shape, other); };
    if (std::none_of(shapes.begin(), shapes.end(), same)) shapes.push_back(shape);
  };
  const DeviceLayerWeights& layer = weights.layers.front();
  const std::int64_t query_width = config.num_heads * config.head_dim;
  const std::int64_t key_values_width = layer.query_key_value.num_out - query_width;
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t row_bytes = hidden * kernels::SizeOf(element);
  const void* projection = layer.query_key_value.weight.data();
  if (weights.layers.size() > 1) add({hidden, layer.query_key_value.num_out, element, projection, "query_key_value"});
  add({hidden, query_width, element, projection, "query"});
  add({hidden, key_values_width, element, layer.query_key_value.weight.at(query_width * row_bytes), "key_value"});
  add({query_width, hidden, ElementType::kFloat32, layer.attention_output.weight.data(), "attention_output"});
  add({hidden, layer.gate_up.num_out, element, layer.gate_up.weight.data(), "gate_up"});
  add({config.intermediate_size, hidden, ElementType::kFloat32, layer.down.weight.data(), "down"});
  for (std::int64_t column = 0; column < weights.padded_vocab_size; column += kHeadTileColumns) {
    add({hidden, std::min(kHeadTileColumns, weights.padded_vocab_size - column), ElementType::kFloat32,
         static_cast<const std::byte*>(weights.head_weight()) + column * row_bytes, "head"});
  }
  return shapes;
}

absl::Status CheckRowsAreIndependent(Device& device, ElementType element, const MatMulShape& shape,
                                     std::int64_t max_rows) {
  const DeviceBuffer x = RandomRows(device, element, max_rows * shape.num_in);
  const std::int64_t out_row_bytes = shape.num_out * kernels::SizeOf(shape.out_type);
  const DeviceBuffer out(device, DeviceBuffer::Kind::kDevice, max_rows * out_row_bytes);
  const DeviceBuffer expected(device, DeviceBuffer::Kind::kPinned, max_rows * out_row_bytes);
  const DeviceBuffer got(device, DeviceBuffer::Kind::kPinned, max_rows * out_row_bytes);
  const auto event = device.MakeEvent();
  // Rows [first, first + count) of x on their own.
  const auto multiply = [&](std::int64_t first, std::int64_t count, const DeviceBuffer& result) {
    device.MatMul({.type = element,
                   .x = x.at(first * shape.num_in * kernels::SizeOf(element)),
                   .weight = shape.weight,
                   .num_rows = count,
                   .num_in = shape.num_in,
                   .num_out = shape.num_out,
                   .out_type = shape.out_type,
                   .out = out.data()});
    device.CopyOut(out.data(), count * out_row_bytes, result.data());
    event->Record();
    event->Wait();
    device.ThrowPendingError();
  };
  multiply(0, max_rows, expected);
  for (const std::int64_t count : kRowCounts) {
    if (count > max_rows) break;
    for (const std::int64_t first : {std::int64_t{0}, (max_rows - count) / 2, max_rows - count}) {
      multiply(first, count, got);
      if (std::memcmp(got.data(), expected.at(first * out_row_bytes), count * out_row_bytes) == 0) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("the product with ", shape.name, " [", shape.num_out, "][", shape.num_in, "] of rows [", first,
                       ", ", first + count, ") has other bits within ", count, " rows than within ", max_rows));
    }
  }
  return absl::OkStatus();
}

}  // namespace prefscore
