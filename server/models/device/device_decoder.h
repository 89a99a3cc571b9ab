// SPDX-License-Identifier: Apache-2.0
// The decoder of decoder.h on a Device: the same config, weights and packed batches, another arithmetic.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/models/causal_lm.h"
#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"
#include "server/models/device/device.h"
#include "server/models/device/device_forward.h"

namespace prefscore {

// Thread-safe. Threads that call Forward at once share the device's queue: while one batch runs, the next is packed and
// queued.
class DeviceLm : public CausalLm {
 public:
  // What CheckSameBits said when the model was made; OK without a check where the device needs none. A model whose rows
  // depend on each other says so in its numerics_mode, too: it ends in "-batch-dependent".
  virtual const absl::Status& same_bits() const = 0;

  // Multiplies with a weight of every shape, for row counts from 1 to some thousands, and compares rows bit by bit. OK: a
  // row's bits do not depend on how many rows come with it, which "same ids, same bits" rests on. FAILED_PRECONDITION
  // names a matrix and row count that differ.
  virtual absl::Status CheckSameBits() const = 0;
};

// Copies the weights: the views may go when it returns. dtype: "float32" | "bfloat16". num_threads: for loading alone;
// 0: one per core. INVALID_ARGUMENT as in decoder.h; UNIMPLEMENTED names what the device decoder cannot run;
// RESOURCE_EXHAUSTED where the device's memory does not suffice. Fills info.dtype and info.numerics_mode.
absl::StatusOr<std::shared_ptr<const DeviceLm>> MakeDeviceDecoder(std::shared_ptr<Device> device,
                                                                  const DecoderConfig& config,
                                                                  const DecoderWeightViews& weights, std::string dtype,
                                                                  int num_threads, ModelInfo info,
                                                                  const DeviceTiles& tiles = {});

}  // namespace prefscore
