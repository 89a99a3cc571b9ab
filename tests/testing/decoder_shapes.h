// SPDX-License-Identifier: Apache-2.0
// Small decoder configs in the shape of real architectures, for tests over all of them.
#pragma once

#include <vector>

#include "tests/testing/random_decoder.h"

namespace prefscore::testing {

struct DecoderShape {
  DecoderConfig config;
  bool with_biases = false;
};

inline DecoderShape LlamaShape() { return {LlamaConfig(3, 48, 6, 2, 88, 307)}; }

inline DecoderShape Gpt2Shape() {
  DecoderConfig config = LlamaConfig(2, 40, 4, 4, 100, 211);
  config.architecture = "gpt2";
  config.max_context_tokens = 256;
  config.norm = NormKind::kLayer;
  config.norm_epsilon = 1e-5;
  config.activation = Activation::kGeluTanh;
  config.gated_mlp = false;
  config.learned_positions = true;
  config.tied_head = true;
  config.ropes.clear();
  for (LayerConfig& layer : config.layers) layer.rope = -1;
  return {config, /*with_biases=*/true};
}

inline DecoderShape Gemma2Shape() {
  DecoderConfig config = LlamaConfig(4, 36, 3, 1, 71, 130);
  config.architecture = "gemma2";
  config.head_dim = 16;
  config.ropes[0].rotary_dim = 16;
  config.norm = NormKind::kRmsOnePlusWeight;
  config.norm_placement = NormPlacement::kSandwich;
  config.activation = Activation::kGeluTanh;
  config.attention_scale = 0.22;
  config.attention_softcap = 3.0;
  config.logit_softcap = 5.0;
  config.embedding_scale = 6.0;
  config.tied_head = true;
  config.layers[0].sliding_window = 7;
  config.layers[2].sliding_window = 20;
  return {config};
}

// Two ropes, one of them dependent on the length, a layer without rotation, norms over each head.
inline DecoderShape DynamicRopeShape() {
  DecoderConfig config = LlamaConfig(3, 32, 4, 2, 64, 97);
  config.architecture = "dynamic";
  config.query_key_norm = QueryKeyNorm::kPerHead;
  RopeConfig& dynamic = config.ropes.emplace_back();
  dynamic.kind = RopeConfig::Kind::kDynamic;
  dynamic.rotary_dim = 6;
  dynamic.factor = 4.0;
  dynamic.original_max_positions = 24;
  config.layers[1].rope = 1;
  config.layers[2].rope = -1;
  return {config};
}

inline DecoderShape Olmo2Shape() {
  DecoderConfig config = LlamaConfig(2, 48, 4, 2, 64, 150);
  config.architecture = "olmo2";
  config.norm_placement = NormPlacement::kPost;
  config.query_key_norm = QueryKeyNorm::kWholeProjection;
  config.activation = Activation::kGeluErf;
  return {config};
}

inline std::vector<DecoderShape> AllShapes() {
  return {LlamaShape(), Gpt2Shape(), Gemma2Shape(), DynamicRopeShape(), Olmo2Shape()};
}

}  // namespace prefscore::testing
