// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/same_bits_check.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/models/device/device_forward.h"
#include "server/models/row_ops.h"

namespace prefscore {
namespace {

using kernels::ElementType;

// Every product is compared with that of so many rows.
constexpr std::int64_t kReferenceRows = 4096;

// Row counts that libraries like to treat apart: one row, tile edges, whole waves, odd ones in between.
constexpr std::int64_t kRowCounts[] = {1,   2,    17,   64,   65,   100,  128,  129,   250,   256,   512,
                                       777, 1024, 2048, 3000, 4096, 4097, 6000, 8192, 10000, 12288, 16384};

std::vector<std::uint8_t> RandomRows(ElementType element, std::int64_t count) {
  std::mt19937 random(1);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random()) * 0x1p-31f - 1.0f;
  std::vector<std::uint8_t> bytes(count * kernels::SizeOf(element));
  if (element == ElementType::kFloat32) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
  } else {
    GetRowOps().to_bfloat16(values.data(), count, reinterpret_cast<std::uint16_t*>(bytes.data()));
  }
  return bytes;
}

// A product of rows that are the same after every `period`: so what any number of them must give fits in little memory.
class RepeatingProduct {
 public:
  RepeatingProduct(Device& device, ElementType element, const MatMulShape& shape, std::int64_t period,
                   std::int64_t max_rows)
      : device_(device),
        element_(element),
        shape_(shape),
        period_(period),
        out_row_bytes_(shape.num_out * kernels::SizeOf(shape.out_type)),
        event_(device.MakeEvent()),
        x_(device, DeviceBuffer::Kind::kDevice, max_rows * x_row_bytes()),
        out_(device, DeviceBuffer::Kind::kDevice, max_rows * out_row_bytes_),
        expected_(device, DeviceBuffer::Kind::kPinned, period * out_row_bytes_),
        got_(device, DeviceBuffer::Kind::kPinned, period * out_row_bytes_) {
    const std::vector<std::uint8_t> rows = RandomRows(element, period * shape.num_in);
    const DeviceBuffer pinned(device, DeviceBuffer::Kind::kPinned, rows.size());
    std::memcpy(pinned.data(), rows.data(), rows.size());
    for (std::int64_t first = 0; first < max_rows; first += period) {
      device.CopyIn(pinned.data(), std::min(period, max_rows - first) * x_row_bytes(), x_.at(first * x_row_bytes()));
    }
    Multiply(0, period);
    Read(0, period, expected_);
  }

  // Whether rows [first, first + count) on their own give what they give within one period.
  // REQUIRES: first is 0, or they lie within the first period.
  bool Agrees(std::int64_t first, std::int64_t count) {
    Multiply(first, count);
    for (std::int64_t row = 0; row < count; row += period_) {
      const std::int64_t num_rows = std::min(period_, count - row);
      Read(row, num_rows, got_);
      const void* expected = expected_.at((first + row) % period_ * out_row_bytes_);
      if (std::memcmp(got_.data(), expected, num_rows * out_row_bytes_) != 0) return false;
    }
    return true;
  }

 private:
  std::int64_t x_row_bytes() const { return shape_.num_in * kernels::SizeOf(element_); }

  void Multiply(std::int64_t first, std::int64_t count) {
    device_.MatMul({.type = element_,
                    .x = x_.at(first * x_row_bytes()),
                    .weight = shape_.weight,
                    .num_rows = count,
                    .num_in = shape_.num_in,
                    .num_out = shape_.num_out,
                    .out_type = shape_.out_type,
                    .out = out_.data()});
  }

  void Read(std::int64_t first, std::int64_t count, const DeviceBuffer& pinned) {
    device_.CopyOut(out_.at(first * out_row_bytes_), count * out_row_bytes_, pinned.data());
    event_->Record();
    event_->Wait();
  }

  Device& device_;
  const ElementType element_;
  const MatMulShape& shape_;
  const std::int64_t period_;
  const std::int64_t out_row_bytes_;
  const std::unique_ptr<DeviceEvent> event_;
  const DeviceBuffer x_;         // [max_rows][num_in]
  const DeviceBuffer out_;       // [max_rows][num_out]
  const DeviceBuffer expected_;  // [period][num_out]
  const DeviceBuffer got_;       // [period][num_out]
};

std::string NameOf(const MatMulShape& shape) {
  return absl::StrCat("the product with ", shape.name, " [", shape.num_out, "][", shape.num_in, "]");
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
  const std::int64_t period = std::min(kReferenceRows, max_rows);
  std::set<std::int64_t> counts(std::begin(kRowCounts), std::end(kRowCounts));
  counts.insert(max_rows);
  counts.erase(counts.upper_bound(max_rows), counts.end());
  try {
    RepeatingProduct product(device, element, shape, period, max_rows);
    for (const std::int64_t count : counts) {
      std::set<std::int64_t> firsts = {0};
      if (count < period) firsts.insert({(period - count) / 2, period - count});
      for (const std::int64_t first : firsts) {
        if (product.Agrees(first, count)) continue;
        return absl::FailedPreconditionError(absl::StrCat(NameOf(shape), " of rows [", first, ", ", first + count,
                                                          ") has other bits within ", count, " rows than within ",
                                                          period));
      }
    }
  } catch (const DeviceError& error) {
    throw DeviceError(absl::StrCat(NameOf(shape), " could not be checked: ", error.what()));
  }
  return absl::OkStatus();
}

}  // namespace prefscore
