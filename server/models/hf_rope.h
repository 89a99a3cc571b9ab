// SPDX-License-Identifier: Apache-2.0
// The rotary position embedding of a config.json, in the new spelling (rope_parameters, nested per layer type for
// gemma3_text) and the old one (rope_theta, rope_scaling), with the defaults of transformers' modeling_rope_utils.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/models/config_fields.h"
#include "server/models/decoder_config.h"

namespace prefscore {

struct RopeContext {
  std::string architecture;
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 0;
  double default_theta = 10000.0;
};

// One RopeConfig for all layers. Faults are left in config.status().
RopeConfig ReadRope(ConfigFields& config, const RopeContext& context);

// Gemma 3 has one for full and one for sliding attention, in this order.
std::vector<RopeConfig> ReadGemma3Ropes(ConfigFields& config, const RopeContext& context);

// The longest context that the scaling was made for. Linear, dynamic and yarn count max_position_embeddings (yarn: the
// original one) times factor where the config still gives the length before scaling; llama3 and longrope configs give
// the length after scaling, and so does Gemma 3.
std::int64_t MaxContextTokens(const RopeConfig& rope, const RopeContext& context);

}  // namespace prefscore
