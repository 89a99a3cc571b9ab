// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/batch_ring.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace prefscore {
namespace {

constexpr std::size_t kMinBytes = 64 << 10;

void Grow(Device& device, DeviceBuffer::Kind kind, std::size_t num_bytes, DeviceBuffer& buffer) {
  if (buffer.num_bytes() >= num_bytes) return;
  buffer = {};
  buffer = DeviceBuffer(device, kind, std::bit_ceil(std::max(num_bytes, kMinBytes)));
}

}  // namespace

BatchRing::BatchRing(Device& device) {
  for (auto& slot : slots_) slot = std::make_unique<Slot>(device);
}

BatchRing::~BatchRing() = default;

BatchRing::Lease BatchRing::Take() {
  std::unique_lock lock(mutex_);
  const auto find_free = [&] { return std::find(is_taken_.begin(), is_taken_.end(), false); };
  returned_.wait(lock, [&] { return find_free() != is_taken_.end(); });
  const auto index = find_free() - is_taken_.begin();
  is_taken_[index] = true;
  return Lease(slots_[index].get(), GiveBack{this});
}

void BatchRing::Return(Slot* slot) {
  if (slot->is_under_way_) {  // a fault in the middle of a batch: its copies may still be running
    slot->is_under_way_ = false;
    try {
      slot->done_->Record();
      slot->done_->Wait();
    } catch (const std::exception&) {
      // The device is lost, and so are its copies.
    }
  }
  {
    const std::lock_guard lock(mutex_);
    const auto same = [&](const std::unique_ptr<Slot>& other) { return other.get() == slot; };
    is_taken_[std::find_if(slots_.begin(), slots_.end(), same) - slots_.begin()] = false;
  }
  returned_.notify_one();
}

void BatchRing::Slot::Fill(const DeviceBatch& batch) {
  num_block_bytes_ = batch.values.size() * sizeof(std::int32_t);
  num_targets_ = static_cast<std::size_t>(batch.num_targets);
  const std::size_t result_bytes = num_targets_ * sizeof(kernels::TargetScore);
  Grow(device_, DeviceBuffer::Kind::kPinned, num_block_bytes_, pinned_block_);
  Grow(device_, DeviceBuffer::Kind::kPinned, result_bytes, pinned_scores_);
  Grow(device_, DeviceBuffer::Kind::kDevice, num_block_bytes_, block_);
  Grow(device_, DeviceBuffer::Kind::kDevice, result_bytes, scores_);
  std::memcpy(pinned_block_.data(), batch.values.data(), num_block_bytes_);
}

void BatchRing::Slot::CopyIn() {
  is_under_way_ = true;
  device_.CopyIn(pinned_block_.data(), num_block_bytes_, block_.data());
}

void BatchRing::Slot::CopyOut() {
  device_.CopyOut(scores_.data(), num_targets_ * sizeof(kernels::TargetScore), pinned_scores_.data());
  done_->Record();
}

std::span<const kernels::TargetScore> BatchRing::Slot::Wait() {
  done_->Wait();
  is_under_way_ = false;
  return {pinned_scores_.data<const kernels::TargetScore>(), num_targets_};
}

}  // namespace prefscore
