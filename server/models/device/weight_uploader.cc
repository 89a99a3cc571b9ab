// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/weight_uploader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>

#include "server/models/weight_reader.h"

namespace prefscore {
namespace {

constexpr std::int64_t kBytesPerTask = 4 << 20;

std::int64_t SizeOf(DType type) { return type == DType::kFloat32 ? 4 : 2; }

kernels::CastMatrixArgs::Source SourceOf(DType type) {
  using Source = kernels::CastMatrixArgs::Source;
  switch (type) {
    case DType::kFloat32:
      return Source::kFloat32;
    case DType::kBfloat16:
      return Source::kBfloat16;
    case DType::kFloat16:
      return Source::kFloat16;
  }
  return Source::kFloat32;
}

}  // namespace

kernels::ElementType ElementTypeOf(Precision precision) {
  return precision == Precision::kFloat32 ? kernels::ElementType::kFloat32 : kernels::ElementType::kBfloat16;
}

WeightUploader::WeightUploader(Device& device, Precision precision, int num_threads, std::int64_t staging_bytes)
    : device_(device),
      precision_(precision),
      element_(ElementTypeOf(precision)),
      staging_bytes_(staging_bytes),
      pool_(num_threads) {
  for (Slot& slot : slots_) slot.event = device.MakeEvent();
}

WeightUploader::~WeightUploader() {
  for (Slot& slot : slots_) {
    try {
      slot.event->Wait();
    } catch (const std::exception&) {
      // The device is lost; whoever uses it next is told.
    }
  }
}

DeviceBuffer WeightUploader::Matrix(std::span<const WeightView> parts, std::int64_t padded_rows) {
  std::int64_t num_rows = 0;
  for (const WeightView& part : parts) num_rows += part.num_out;
  const std::int64_t row_bytes = parts.front().num_in * kernels::SizeOf(element_);
  DeviceBuffer out(device_, DeviceBuffer::Kind::kDevice, std::max(num_rows, padded_rows) * row_bytes);
  std::int64_t row = 0;
  for (const WeightView& part : parts) {
    Append(part, out.at(row * row_bytes));
    row += part.num_out;
  }
  if (row < padded_rows) device_.SetZero(out.at(row * row_bytes), (padded_rows - row) * row_bytes);
  return out;
}

DeviceBuffer WeightUploader::Biases(std::span<const LinearView> parts) {
  if (std::none_of(parts.begin(), parts.end(), [](const LinearView& part) { return bool(part.bias); })) return {};
  std::vector<float> values;
  for (const LinearView& part : parts) {
    std::vector<float> bias = ReadWeightVector(part.bias, precision_);
    bias.resize(part.weight.num_out);
    values.insert(values.end(), bias.begin(), bias.end());
  }
  return Upload(device_, values.data(), values.size() * sizeof(float));
}

DeviceBuffer WeightUploader::Vector(const WeightView& view, float addend) {
  if (!view) return {};
  std::vector<float> values = ReadWeightVector(view, precision_);
  for (float& value : values) value += addend;
  return Upload(device_, values.data(), values.size() * sizeof(float));
}

// In slices along the dimension whose steps are longer: the bytes of a slice lie together, and with a row range of a
// fused tensor, or one transposed, perhaps others' among them.
void WeightUploader::Append(const WeightView& view, void* out) {
  const bool by_rows = view.out_stride >= view.in_stride;
  const std::int64_t num_major = by_rows ? view.num_out : view.num_in;
  const std::int64_t num_minor = by_rows ? view.num_in : view.num_out;
  const std::int64_t major_stride = by_rows ? view.out_stride : view.in_stride;
  const std::int64_t minor_stride = by_rows ? view.in_stride : view.out_stride;
  const std::int64_t value_bytes = SizeOf(view.dtype);
  const std::int64_t slice_bytes = ((num_minor - 1) * minor_stride + 1) * value_bytes;  // of one step
  const std::int64_t step_bytes = std::max(major_stride * value_bytes, slice_bytes);
  const std::int64_t steps = std::max<std::int64_t>(1, staging_bytes_ / step_bytes);

  for (std::int64_t first = 0; first < num_major; first += steps) {
    const std::int64_t count = std::min(steps, num_major - first);
    const std::int64_t num_bytes = (count - 1) * major_stride * value_bytes + slice_bytes;
    Slot& slot = NextSlot(num_bytes);
    CopyToPinned(view.data + first * major_stride * value_bytes, num_bytes, slot.pinned);
    device_.CopyIn(slot.pinned.data(), num_bytes, slot.device.data());
    const std::int64_t first_column = by_rows ? 0 : first;
    const std::int64_t first_row = by_rows ? first : 0;
    device_.CastMatrix({.source_type = SourceOf(view.dtype),
                        .source = slot.device.data(),
                        .row_stride = view.out_stride,
                        .column_stride = view.in_stride,
                        .num_rows = by_rows ? count : view.num_out,
                        .num_columns = by_rows ? view.num_in : count,
                        .type = element_,
                        .out = static_cast<std::byte*>(out) +
                               (first_row * view.num_in + first_column) * kernels::SizeOf(element_),
                        .out_stride = view.num_in});
    slot.event->Record();
  }
}

// A slot whose last copy and cast have run, with room for so many bytes.
WeightUploader::Slot& WeightUploader::NextSlot(std::int64_t num_bytes) {
  Slot& slot = slots_[next_slot_];
  next_slot_ = (next_slot_ + 1) % slots_.size();
  slot.event->Wait();
  if (static_cast<std::int64_t>(slot.pinned.num_bytes()) < num_bytes) {
    const auto size = std::bit_ceil(static_cast<std::size_t>(num_bytes));
    slot.pinned = {};
    slot.pinned = DeviceBuffer(device_, DeviceBuffer::Kind::kPinned, size);
    slot.device = DeviceBuffer(device_, DeviceBuffer::Kind::kDevice, size);
  }
  return slot;
}

void WeightUploader::CopyToPinned(const std::byte* data, std::int64_t num_bytes, DeviceBuffer& pinned) const {
  pool_.ParallelFor((num_bytes + kBytesPerTask - 1) / kBytesPerTask, [&](std::int64_t task) {
    const std::int64_t offset = task * kBytesPerTask;
    std::memcpy(pinned.at(offset), data + offset, std::min(kBytesPerTask, num_bytes - offset));
  });
}

}  // namespace prefscore
