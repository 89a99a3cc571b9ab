// SPDX-License-Identifier: Apache-2.0
// What a model's numbers depend on, in one SHA-256: the numeric configuration and every weight. Neither the number of
// files that hold the weights nor any bookkeeping field of config.json changes it.
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "server/models/decoder_config.h"
#include "server/models/safetensors.h"

namespace prefscore {

// The numeric configuration as text, one field a line, numbers to the last bit.
std::string CanonicalConfig(const DecoderConfig& config);

// Lower-case hex. Reads every byte of the tensors once, on `num_threads` threads. INVALID_ARGUMENT names a tensor that
// holds a NaN or an infinity. Tensors are F32, BF16 or F16.
absl::StatusOr<std::string> ModelDigest(const DecoderConfig& config, std::span<const SafetensorsEntry* const> tensors,
                                        int num_threads);

}  // namespace prefscore
