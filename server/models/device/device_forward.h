// SPDX-License-Identifier: Apache-2.0
// One forward pass on a device: queues everything from token ids to scores, and waits for nothing.
#pragma once

#include <cstdint>

#include "server/models/decoder_config.h"
#include "server/models/device/device.h"
#include "server/models/device/device_batch.h"
#include "server/models/device/device_ropes.h"
#include "server/models/device/device_weights.h"

namespace prefscore {

// How much of a pass is computed at once. No number depends on it.
struct DeviceTiles {
  std::int64_t max_matmul_rows = kMaxMatMulRows;  // 1 ... kMaxMatMulRows; the MLP goes in pieces of as many
  DeviceBatchLimits batch = {};
};

// Columns of the vocabulary whose logits exist at once. Sums are combined tile by tile: it is part of the arithmetic.
inline constexpr std::int64_t kHeadTileColumns = 8192;

class DeviceForward {
 public:
  // All are borrowed.
  DeviceForward(Device& device, const DecoderConfig& config, const DeviceWeights& weights,
                kernels::ElementType element, const DeviceTiles& tiles)
      : device_(device), config_(config), weights_(weights), element_(element), tiles_(tiles) {}

  // block: batch.values in device memory. scores: device memory [batch.num_targets], in the batch's target order.
  // REQUIRES: the device's queue is held; batch has a target.
  void Enqueue(const DeviceBatch& batch, const std::int32_t* block, const DeviceRopeTables& ropes,
               kernels::TargetScore* scores) const;

 private:
  class Pass;

  Device& device_;
  const DecoderConfig& config_;
  const DeviceWeights& weights_;
  const kernels::ElementType element_;
  const DeviceTiles tiles_;
};

}  // namespace prefscore
