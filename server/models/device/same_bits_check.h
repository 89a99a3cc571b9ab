// SPDX-License-Identifier: Apache-2.0
// Whether a row of a matrix product depends on how many rows come with it: asked of the device itself, since it rests
// on libraries that promise nothing of the kind.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/models/decoder_config.h"
#include "server/models/device/device.h"
#include "server/models/device/device_weights.h"

namespace prefscore {

struct MatMulShape {
  std::int64_t num_in = 0;
  std::int64_t num_out = 0;
  kernels::ElementType out_type = kernels::ElementType::kFloat32;
  const void* weight = nullptr;
  const char* name = "";

  friend bool SameShape(const MatMulShape& a, const MatMulShape& b) {
    return a.num_in == b.num_in && a.num_out == b.num_out && a.out_type == b.out_type;
  }
};

// Every shape that a forward pass multiplies with, each once.
std::vector<MatMulShape> MatMulShapes(const DecoderConfig& config, const DeviceWeights& weights,
                                      kernels::ElementType element);

// Row counts from 1 to max_rows. FAILED_PRECONDITION names the first whose rows have other bits than within another
// count. Throws where a product cannot be made, a DeviceError with the shape's name. Takes memory for max_rows rows in
// and out. REQUIRES: the device's queue is held.
absl::Status CheckRowsAreIndependent(Device& device, kernels::ElementType element, const MatMulShape& shape,
                                     std::int64_t max_rows);

}  // namespace prefscore
