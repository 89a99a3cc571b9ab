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

// Thread-safe: threads that call Forward at once queue their batches one after another. The server's scheduler calls it
// from one thread, so that one batch is in flight.
class DeviceLm : public CausalLm {
 public:
  // The verdict of CheckSameBits when the model was made: OK, also where the device needs no check, or
  // FAILED_PRECONDITION. A model whose rows depend on each other says so in its numerics_mode, too: it ends in
  // "-batch-dependent".
  virtual const absl::Status& same_bits() const = 0;

  // Multiplies with a weight of every shape, for row counts from 1 to the largest of one product, and compares rows bit
  // by bit. OK: a row's bits do not depend on how many rows come with it, which "same ids, same bits" rests on.
  // FAILED_PRECONDITION names a matrix and row count that differ. Any other code: the check itself failed and says
  // nothing about rows.
  virtual absl::Status CheckSameBits() const = 0;
};

// Copies the weights: the views may go when it returns. dtype: "float32" | "bfloat16". num_threads: for loading alone;
// 0: one per core. INVALID_ARGUMENT as in decoder.h; UNIMPLEMENTED names what the device decoder cannot run;
// RESOURCE_EXHAUSTED where the device's memory does not suffice; INTERNAL or UNAVAILABLE where the device fails, at the
// check of its products too. Fills info.dtype and info.numerics_mode.
absl::StatusOr<std::shared_ptr<const DeviceLm>> MakeDeviceDecoder(std::shared_ptr<Device> device,
                                                                  const DecoderConfig& config,
                                                                  const DecoderWeightViews& weights, std::string dtype,
                                                                  int num_threads, ModelInfo info,
                                                                  const DeviceTiles& tiles = {});

}  // namespace prefscore
