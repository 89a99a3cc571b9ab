// SPDX-License-Identifier: Apache-2.0
// Models of known sizes with random weights, for timing: as many bytes and products as the real ones, made in no time.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"
#include "tests/testing/random_decoder.h"

namespace prefscore::testing {

struct ModelShape {
  std::string name;
  DecoderConfig config;
  bool query_key_value_bias = false;
};

inline ModelShape Qwen25Half() {
  ModelShape shape{"Qwen2.5-0.5B", LlamaConfig(24, 896, 14, 2, 4864, 151936), /*query_key_value_bias=*/true};
  shape.config.architecture = "qwen2";
  shape.config.tied_head = true;
  shape.config.ropes[0].theta = 1e6;
  return shape;
}

inline ModelShape Llama32One() {
  ModelShape shape{"Llama-3.2-1B", LlamaConfig(16, 2048, 32, 8, 8192, 128256)};
  shape.config.tied_head = true;
  shape.config.ropes[0].theta = 5e5;
  return shape;
}

inline ModelShape Llama31Eight() {
  ModelShape shape{"Llama-3.1-8B", LlamaConfig(32, 4096, 32, 8, 14336, 128256)};
  shape.config.ropes[0].theta = 5e5;
  return shape;
}

inline ModelShape TinyQwen() {
  ModelShape shape{"tiny", LlamaConfig(2, 64, 4, 2, 96, 9000), /*query_key_value_bias=*/true};
  shape.config.tied_head = true;
  return shape;
}

// bfloat16 weights, all of them views into one block of random numbers, each at another place of it.
class SharedWeights {
 public:
  explicit SharedWeights(const ModelShape& shape) : shape_(shape) {
    const DecoderConfig& config = shape.config;
    block_.resize(std::max(config.vocab_size, config.intermediate_size) * config.hidden_size + kMaxShift);
    FillBlock();
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t query_width = config.num_heads * config.head_dim;
    const std::int64_t key_width = config.num_kv_heads * config.head_dim;
    views_.token_embedding = Matrix(config.vocab_size, hidden);
    for (std::size_t i = 0; i < config.layers.size(); ++i) {
      LayerWeightViews layer;
      layer.pre_attention_norm.weight = layer.pre_mlp_norm.weight = Ones(hidden);
      layer.query = Linear(query_width, hidden, shape.query_key_value_bias);
      layer.key = Linear(key_width, hidden, shape.query_key_value_bias);
      layer.value = Linear(key_width, hidden, shape.query_key_value_bias);
      layer.attention_output = Linear(hidden, query_width);
      layer.gate = Linear(config.intermediate_size, hidden);
      layer.up = Linear(config.intermediate_size, hidden);
      layer.down = Linear(hidden, config.intermediate_size);
      views_.layers.push_back(layer);
    }
    views_.final_norm.weight = Ones(hidden);
    if (!config.tied_head) views_.head = Linear(config.vocab_size, hidden);
  }

  const DecoderWeightViews& views() const { return views_; }

  // Of what a checkpoint would hold.
  std::int64_t num_bytes() const { return 2 * num_values_; }

 private:
  static constexpr std::int64_t kMaxShift = 1 << 20;

  static std::uint16_t Bits(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return static_cast<std::uint16_t>((bits + 0x8000) >> 16);
  }

  // Uniform with the deviation 0.02 of a fresh model; repeats after a length that no matrix has as a row.
  void FillBlock() {
    std::mt19937 random(1);
    const std::size_t period = std::min<std::size_t>(block_.size(), (1 << 20) + 7);
    for (std::size_t i = 0; i < period; ++i) {
      block_[i] = Bits((static_cast<float>(random()) * 0x1p-31f - 1.0f) * 0.02f * std::sqrt(3.0f));
    }
    for (std::size_t i = period; i < block_.size(); i += period) {
      std::memcpy(&block_[i], block_.data(), std::min(period, block_.size() - i) * sizeof(block_[0]));
    }
    ones_.assign(shape_.config.hidden_size, Bits(1.0f));
  }

  WeightView Matrix(std::int64_t num_out, std::int64_t num_in) {
    num_values_ += num_out * num_in;
    shift_ = (shift_ + 64 * 1021) % kMaxShift;
    return View(block_.data() + shift_, num_out, num_in);
  }

  static WeightView View(const std::uint16_t* data, std::int64_t num_out, std::int64_t num_in) {
    return {.data = reinterpret_cast<const std::byte*>(data),
            .dtype = DType::kBfloat16,
            .num_out = num_out,
            .num_in = num_in,
            .out_stride = num_in};
  }

  LinearView Linear(std::int64_t num_out, std::int64_t num_in, bool with_bias = false) {
    LinearView view{.weight = Matrix(num_out, num_in), .bias = {}};
    if (with_bias) view.bias = Matrix(1, num_out);
    return view;
  }

  WeightView Ones(std::int64_t width) const { return View(ones_.data(), 1, width); }

  const ModelShape shape_;
  std::vector<std::uint16_t> block_;
  std::vector<std::uint16_t> ones_;
  std::int64_t shift_ = 0;
  std::int64_t num_values_ = 0;
  DecoderWeightViews views_;
};

}  // namespace prefscore::testing
