// SPDX-License-Identifier: Apache-2.0
// Pinned memory for batches on their way: what one needs goes to the device in one copy, its results come back in one.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "server/models/device/device.h"
#include "server/models/device/device_batch.h"

namespace prefscore {

// Thread-safe: every thread takes its own slot, and waits where all are taken.
class BatchRing {
 public:
  class Slot;
  struct GiveBack {
    BatchRing* ring = nullptr;
    void operator()(Slot* slot) const { ring->Return(slot); }
  };
  using Lease = std::unique_ptr<Slot, GiveBack>;

  explicit BatchRing(Device& device);
  ~BatchRing();

  Lease Take();

 private:
  // Of as many callers one runs, one is queued and one is filled. The server calls from one thread and uses one slot;
  // the others take no memory until then.
  static constexpr int kNumSlots = 3;

  void Return(Slot* slot);

  std::array<std::unique_ptr<Slot>, kNumSlots> slots_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::array<bool, kNumSlots> is_taken_ = {};  // guarded by mutex_
};

// One batch's memory. In the order of the calls.
class BatchRing::Slot {
 public:
  explicit Slot(Device& device) : device_(device), done_(device.MakeEvent()) {}

  void Fill(const DeviceBatch& batch);
  // With the device's queue held:
  void CopyIn();
  const std::int32_t* block() const { return block_.data<const std::int32_t>(); }
  kernels::TargetScore* scores() const { return scores_.data<kernels::TargetScore>(); }  // device memory [num_targets]
  void CopyOut();
  // Until the results are there. [num_targets]
  std::span<const kernels::TargetScore> Wait();

 private:
  friend class BatchRing;

  Device& device_;
  const std::unique_ptr<DeviceEvent> done_;
  DeviceBuffer pinned_block_, pinned_scores_;  // kept from batch to batch, and grown
  DeviceBuffer block_, scores_;                // likewise, in device memory
  std::size_t num_block_bytes_ = 0;
  std::size_t num_targets_ = 0;
  bool is_under_way_ = false;  // copies of this batch may be running
};

}  // namespace prefscore
