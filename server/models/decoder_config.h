// SPDX-License-Identifier: Apache-2.0
// What one configurable decoder needs to know to be any of the supported architectures. Filled from a Hugging Face
// config.json by hf_config.h; read by decoder.h. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace prefscore {

enum class NormKind {
  kRms,               // x / rms(x) * w
  kRmsOnePlusWeight,  // x / rms(x) * (1 + w), Gemma
  kLayer,             // LayerNorm with weight and bias, GPT-2
};

enum class NormPlacement {
  kPre,       // x + f(norm(x))
  kPost,      // x + norm(f(x)), OLMo 2
  kSandwich,  // x + post_norm(f(pre_norm(x))), Gemma 2 and 3
};

enum class QueryKeyNorm {
  kNone,
  kPerHead,          // over head_dim, after the split into heads: Qwen 3, Gemma 3
  kWholeProjection,  // over the whole projection, before the split: OLMo 2
};

enum class Activation { kSilu, kGeluTanh, kGeluErf, kRelu };

// Rotary position embedding; the kinds and parameters are those of transformers' modeling_rope_utils.
struct RopeConfig {
  enum class Kind { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLongRope };
  Kind kind = Kind::kDefault;
  double theta = 10000.0;
  std::int64_t rotary_dim = 0;  // dimensions of a head that rotate, from its start (partial_rotary_factor)
  double factor = 1.0;
  std::int64_t original_max_positions = 0;  // where scaling starts (longrope, llama3, yarn; dynamic: the config's maximum)
  double low_freq_factor = 1.0;             // llama3
  double high_freq_factor = 4.0;            // llama3
  double beta_fast = 32.0;                  // yarn
  double beta_slow = 1.0;                   // yarn
  bool truncate = true;                     // yarn: round the correction range
  std::optional<double> mscale;             // yarn
  std::optional<double> mscale_all_dim;     // yarn
  std::optional<double> attention_factor;   // yarn, longrope: multiplies cos and sin; always set by hf_rope.h
  std::vector<double> short_factor;         // longrope [rotary_dim / 2]
  std::vector<double> long_factor;          // longrope [rotary_dim / 2]
};

struct LayerConfig {
  std::int64_t sliding_window = 0;  // a query sees itself and the window - 1 positions before it; 0: all
  int rope = 0;                     // index into DecoderConfig::ropes; -1: no rotation (NoPE)
};

struct DecoderConfig {
  std::string architecture;  // model_type
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t vocab_size = 0;
  std::int64_t max_context_tokens = 0;

  NormKind norm = NormKind::kRms;
  NormPlacement norm_placement = NormPlacement::kPre;
  double norm_epsilon = 1e-6;
  QueryKeyNorm query_key_norm = QueryKeyNorm::kNone;

  Activation activation = Activation::kSilu;
  bool gated_mlp = true;  // down(act(gate(x)) * up(x)); otherwise down(act(up(x)))

  bool query_key_value_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;

  double attention_scale = 0.0;    // multiplies q.k
  double attention_softcap = 0.0;  // c * tanh(score / c) before the mask; 0: none
  double logit_softcap = 0.0;      // c * tanh(logit / c); 0: none
  double embedding_scale = 1.0;    // multiplies token embeddings; rounded to the weights' dtype as the model does
  bool learned_positions = false;  // GPT-2: adds position_embedding[position]
  bool tied_head = false;          // the head is the token embedding

  std::vector<RopeConfig> ropes;
  std::vector<LayerConfig> layers;
};

}  // namespace prefscore
