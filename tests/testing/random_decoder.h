// SPDX-License-Identifier: Apache-2.0
// Decoders with random weights, made in memory.
#pragma once

#include <cmath>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "server/models/decoder.h"

namespace prefscore::testing {

// Weights of one decoder: the views point into `buffers`.
struct RandomWeights {
  std::deque<std::vector<float>> buffers;
  DecoderWeightViews views;
};

class RandomWeightMaker {
 public:
  RandomWeightMaker(const DecoderConfig& config, std::uint32_t seed, bool with_biases)
      : config_(config), with_biases_(with_biases), random_(seed) {}

  // Matrices are scaled so that attention and positions show in the logits; norms stray around 1.
  std::shared_ptr<RandomWeights> Make() {
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t query_width = config_.num_heads * config_.head_dim;
    const std::int64_t key_width = config_.num_kv_heads * config_.head_dim;
    const bool has_pre = config_.norm_placement != NormPlacement::kPost;
    const bool has_post = config_.norm_placement != NormPlacement::kPre;
    DecoderWeightViews& views = weights_->views;
    views.token_embedding = Matrix(config_.vocab_size, hidden, 1.0f);
    if (config_.learned_positions) views.position_embedding = Matrix(config_.max_context_tokens, hidden, 0.5f);
    for (std::size_t i = 0; i < config_.layers.size(); ++i) {
      LayerWeightViews layer;
      if (has_pre) layer.pre_attention_norm = Norm(hidden);
      if (has_post) layer.post_attention_norm = Norm(hidden);
      if (has_pre) layer.pre_mlp_norm = Norm(hidden);
      if (has_post) layer.post_mlp_norm = Norm(hidden);
      layer.query = Linear(query_width, hidden);
      layer.key = Linear(key_width, hidden);
      layer.value = Linear(key_width, hidden);
      layer.attention_output = Linear(hidden, query_width);
      if (config_.query_key_norm != QueryKeyNorm::kNone) {
        const bool per_head = config_.query_key_norm == QueryKeyNorm::kPerHead;
        layer.query_norm = Norm(per_head ? config_.head_dim : query_width);
        layer.key_norm = Norm(per_head ? config_.head_dim : key_width);
      }
      if (config_.gated_mlp) layer.gate = Linear(config_.intermediate_size, hidden);
      layer.up = Linear(config_.intermediate_size, hidden);
      layer.down = Linear(hidden, config_.intermediate_size);
      views.layers.push_back(layer);
    }
    views.final_norm = Norm(hidden);
    if (!config_.tied_head) views.head = Linear(config_.vocab_size, hidden);
    return weights_;
  }

 private:
  WeightView Matrix(std::int64_t num_out, std::int64_t num_in, float deviation, float mean = 0.0f) {
    std::vector<float>& values = weights_->buffers.emplace_back(num_out * num_in);
    // Uniform, of the deviation asked for: a normal distribution takes most of the time of a large model.
    const float range = 2.0f * std::sqrt(3.0f) * deviation;
    for (float& value : values) value = mean + range * (static_cast<float>(random_()) * 0x1p-32f - 0.5f);
    return {.data = reinterpret_cast<const std::byte*>(values.data()),
            .num_out = num_out,
            .num_in = num_in,
            .out_stride = num_in};
  }

  LinearView Linear(std::int64_t num_out, std::int64_t num_in) {
    LinearView view{.weight = Matrix(num_out, num_in, 1.2f / std::sqrt(static_cast<float>(num_in))), .bias = {}};
    if (with_biases_) view.bias = Matrix(1, num_out, 0.2f);
    return view;
  }

  NormView Norm(std::int64_t width) {
    const float mean = config_.norm == NormKind::kRmsOnePlusWeight ? 0.0f : 1.0f;
    NormView view{.weight = Matrix(1, width, 0.2f, mean), .bias = {}};
    if (config_.norm == NormKind::kLayer) view.bias = Matrix(1, width, 0.2f);
    return view;
  }

  const DecoderConfig& config_;
  const bool with_biases_;
  std::mt19937 random_;
  std::shared_ptr<RandomWeights> weights_ = std::make_shared<RandomWeights>();
};

inline std::shared_ptr<RandomWeights> MakeRandomWeights(const DecoderConfig& config, std::uint32_t seed,
                                                        bool with_biases = false) {
  return RandomWeightMaker(config, seed, with_biases).Make();
}

// A Llama: GQA, SiLU-gated MLP, RMSNorm, default rotary embedding.
inline DecoderConfig LlamaConfig(std::int64_t num_layers, std::int64_t hidden_size, std::int64_t num_heads,
                                 std::int64_t num_kv_heads, std::int64_t intermediate_size, std::int64_t vocab_size) {
  DecoderConfig config;
  config.architecture = "llama";
  config.hidden_size = hidden_size;
  config.intermediate_size = intermediate_size;
  config.num_heads = num_heads;
  config.num_kv_heads = num_kv_heads;
  config.head_dim = hidden_size / num_heads;
  config.vocab_size = vocab_size;
  config.max_context_tokens = 2048;
  config.attention_scale = 1.0 / std::sqrt(static_cast<double>(config.head_dim));
  config.ropes.emplace_back().rotary_dim = config.head_dim;
  config.layers.resize(num_layers);
  return config;
}

}  // namespace prefscore::testing
