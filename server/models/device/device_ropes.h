// SPDX-License-Identifier: Apache-2.0
// Rotary tables in device memory: computed on the CPU (rope.h), kept from batch to batch.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "server/models/decoder_config.h"
#include "server/models/device/device.h"

namespace prefscore {

// Of every rope the tables of some variants (sets of frequencies), one below the other, `stride` rows each.
struct DeviceRopeTables {
  struct Rope {
    std::int64_t half = 0;
    DeviceBuffer cosines;  // fp32 [num_variants * stride][half]
    DeviceBuffer sines;
  };
  std::vector<Rope> ropes;
  std::int64_t stride = 0;
};

// Thread-safe.
class DeviceRopes {
 public:
  DeviceRopes(Device& device, std::vector<RopeConfig> configs, std::int64_t max_positions)
      : device_(device), configs_(std::move(configs)), max_positions_(max_positions) {}

  // sequence_lengths: one for each variant, as in PackedBatch::rope_lengths. Takes the device's queue where the tables
  // are not there yet.
  std::shared_ptr<const DeviceRopeTables> Of(std::span<const std::int64_t> sequence_lengths,
                                             std::int64_t num_positions);

 private:
  struct Entry {
    std::vector<std::int64_t> keys;  // of every variant, of every rope
    std::shared_ptr<const DeviceRopeTables> tables;
  };

  std::shared_ptr<const DeviceRopeTables> Make(std::span<const std::int64_t> sequence_lengths, std::int64_t stride);

  Device& device_;
  const std::vector<RopeConfig> configs_;
  const std::int64_t max_positions_;
  std::mutex mutex_;
  std::deque<Entry> entries_;  // guarded by mutex_; the latest first
};

}  // namespace prefscore
