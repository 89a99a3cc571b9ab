// SPDX-License-Identifier: Apache-2.0
// A decoder's weights in device memory, as the device decoder reads them: matrices in the type of the matrix products,
// those with one input joined (query | key | value, gate | up), norms and biases in fp32.
#pragma once

#include <cstdint>
#include <vector>

#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"
#include "server/models/device/device.h"
#include "server/models/numerics.h"

namespace prefscore {

struct DeviceNorm {
  DeviceBuffer weight;  // fp32, 1 + w where the kind says so; empty: no norm
  DeviceBuffer bias;
  float epsilon = 0.0f;
  bool subtract_mean = false;

  kernels::Norm view() const {
    return {.weight = weight.data<const float>(),
            .bias = bias.data<const float>(),
            .epsilon = epsilon,
            .subtract_mean = subtract_mean};
  }
};

struct DeviceLinear {
  DeviceBuffer weight;  // [num_out][num_in]
  DeviceBuffer bias;    // fp32 [num_out] or empty
  std::int64_t num_out = 0;
  std::int64_t num_in = 0;
};

struct DeviceLayerWeights {
  DeviceNorm pre_attention_norm, post_attention_norm, pre_mlp_norm, post_mlp_norm, query_norm, key_norm;
  DeviceLinear query_key_value;
  DeviceLinear attention_output;
  DeviceLinear gate_up;  // up alone where the MLP is not gated
  DeviceLinear down;
};

struct DeviceWeights {
  DeviceBuffer token_embedding;
  DeviceBuffer position_embedding;
  std::vector<DeviceLayerWeights> layers;
  DeviceNorm final_norm;
  DeviceBuffer head;  // [padded_vocab_size][hidden], the rows beyond the vocabulary zero; empty: the token embedding
  std::int64_t padded_vocab_size = 0;

  const void* head_weight() const { return head.data() != nullptr ? head.data() : token_embedding.data(); }
};

inline constexpr std::int64_t kVocabularyMultiple = 128;

// Reads the mapped files with some threads, through pinned memory, and casts on the device. The views may go when it
// returns. REQUIRES: CheckWeights passed; the device's queue is held.
DeviceWeights LoadDeviceWeights(Device& device, const DecoderConfig& config, const DecoderWeightViews& views,
                                Precision precision, int num_threads);

}  // namespace prefscore
