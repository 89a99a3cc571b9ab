// SPDX-License-Identifier: Apache-2.0
#include "server/models/decoder_check.h"

#include <string>
#include <string_view>

#include "server/util/status_macros.h"

namespace prefscore {
namespace {

std::string Shape(std::int64_t num_out, std::int64_t num_in) {
  return "[" + std::to_string(num_out) + "][" + std::to_string(num_in) + "]";
}

absl::Status CheckView(std::string_view name, const WeightView& view, std::int64_t num_out, std::int64_t num_in) {
  if (view && view.num_out == num_out && view.num_in == num_in) return absl::OkStatus();
  return absl::InvalidArgumentError("weight " + std::string(name) + " is " +
                                    (view ? Shape(view.num_out, view.num_in) : "missing") + "; the config asks for " +
                                    Shape(num_out, num_in));
}

absl::Status CheckLinear(const std::string& name, const LinearView& view, std::int64_t num_out, std::int64_t num_in) {
  RETURN_IF_ERROR(CheckView(name, view.weight, num_out, num_in));
  return view.bias ? CheckView(name + ".bias", view.bias, 1, num_out) : absl::OkStatus();
}

absl::Status CheckNorm(const std::string& name, const NormView& view, std::int64_t width) {
  RETURN_IF_ERROR(CheckView(name, view.weight, 1, width));
  return view.bias ? CheckView(name + ".bias", view.bias, 1, width) : absl::OkStatus();
}

absl::Status CheckNorms(const DecoderConfig& config, const LayerWeightViews& layer, const std::string& name) {
  if (config.norm_placement != NormPlacement::kPost) {
    RETURN_IF_ERROR(CheckNorm(name + "pre_attention_norm", layer.pre_attention_norm, config.hidden_size));
    RETURN_IF_ERROR(CheckNorm(name + "pre_mlp_norm", layer.pre_mlp_norm, config.hidden_size));
  }
  if (config.norm_placement != NormPlacement::kPre) {
    RETURN_IF_ERROR(CheckNorm(name + "post_attention_norm", layer.post_attention_norm, config.hidden_size));
    RETURN_IF_ERROR(CheckNorm(name + "post_mlp_norm", layer.post_mlp_norm, config.hidden_size));
  }
  if (config.query_key_norm == QueryKeyNorm::kNone) return absl::OkStatus();
  const bool per_head = config.query_key_norm == QueryKeyNorm::kPerHead;
  const std::int64_t query_width = config.head_dim * (per_head ? 1 : config.num_heads);
  const std::int64_t key_width = config.head_dim * (per_head ? 1 : config.num_kv_heads);
  RETURN_IF_ERROR(CheckNorm(name + "query_norm", layer.query_norm, query_width));
  return CheckNorm(name + "key_norm", layer.key_norm, key_width);
}

absl::Status CheckLayer(const DecoderConfig& config, const LayerWeightViews& layer, const std::string& name) {
  const std::int64_t query_width = config.num_heads * config.head_dim;
  const std::int64_t key_width = config.num_kv_heads * config.head_dim;
  RETURN_IF_ERROR(CheckNorms(config, layer, name));
  RETURN_IF_ERROR(CheckLinear(name + "query", layer.query, query_width, config.hidden_size));
  RETURN_IF_ERROR(CheckLinear(name + "key", layer.key, key_width, config.hidden_size));
  RETURN_IF_ERROR(CheckLinear(name + "value", layer.value, key_width, config.hidden_size));
  RETURN_IF_ERROR(CheckLinear(name + "attention_output", layer.attention_output, config.hidden_size, query_width));
  if (config.gated_mlp) {
    RETURN_IF_ERROR(CheckLinear(name + "gate", layer.gate, config.intermediate_size, config.hidden_size));
  }
  RETURN_IF_ERROR(CheckLinear(name + "up", layer.up, config.intermediate_size, config.hidden_size));
  return CheckLinear(name + "down", layer.down, config.hidden_size, config.intermediate_size);
}

absl::Status CheckRope(const DecoderConfig& config, const RopeConfig& rope) {
  const std::int64_t dim = rope.rotary_dim;
  if (dim < 2 || dim % 2 != 0 || dim > config.head_dim) {
    return absl::InvalidArgumentError("rotary_dim is " + std::to_string(dim) +
                                      ", not an even number from 2 to head_dim " + std::to_string(config.head_dim));
  }
  const bool depends_on_length = rope.kind != RopeConfig::Kind::kDefault && rope.kind != RopeConfig::Kind::kLinear;
  if (depends_on_length && rope.original_max_positions < 1) {
    return absl::InvalidArgumentError("a rope's original_max_positions is " +
                                      std::to_string(rope.original_max_positions) + ", below 1");
  }
  if (rope.kind == RopeConfig::Kind::kDynamic && dim == 2) {
    return absl::InvalidArgumentError("rotary_dim is 2: dynamic scaling is defined from 4 on");
  }
  const auto num_factors = static_cast<std::size_t>(dim / 2);
  if (rope.kind == RopeConfig::Kind::kLongRope &&
      (rope.short_factor.size() != num_factors || rope.long_factor.size() != num_factors)) {
    return absl::InvalidArgumentError("longrope needs " + std::to_string(num_factors) +
                                      " short and long factors, one for each rotated pair");
  }
  return absl::OkStatus();
}

absl::Status CheckConfig(const DecoderConfig& config) {
  if (config.hidden_size < 1 || config.intermediate_size < 1 || config.num_heads < 1 || config.num_kv_heads < 1 ||
      config.head_dim < 1 || config.vocab_size < 1 || config.max_context_tokens < 1 || config.layers.empty()) {
    return absl::InvalidArgumentError("a size of the decoder's config is below 1");
  }
  if (config.num_heads % config.num_kv_heads != 0) {
    return absl::InvalidArgumentError("num_heads " + std::to_string(config.num_heads) +
                                      " is not a multiple of num_kv_heads " + std::to_string(config.num_kv_heads));
  }
  for (const RopeConfig& rope : config.ropes) RETURN_IF_ERROR(CheckRope(config, rope));
  for (const LayerConfig& layer : config.layers) {
    if (layer.rope < -1 || layer.rope >= static_cast<int>(config.ropes.size()) || layer.sliding_window < 0) {
      return absl::InvalidArgumentError("a layer's rope " + std::to_string(layer.rope) + " or sliding window " +
                                        std::to_string(layer.sliding_window) + " is out of range");
    }
  }
  return absl::OkStatus();
}

std::string Where(std::size_t group, const char* field, std::size_t index) {
  return "group " + std::to_string(group) + ", " + field + " " + std::to_string(index);
}

}  // namespace

absl::Status CheckWeights(const DecoderConfig& config, const DecoderWeightViews& weights) {
  RETURN_IF_ERROR(CheckConfig(config));
  RETURN_IF_ERROR(CheckView("token_embedding", weights.token_embedding, config.vocab_size, config.hidden_size));
  if (config.learned_positions) {
    RETURN_IF_ERROR(
        CheckView("position_embedding", weights.position_embedding, config.max_context_tokens, config.hidden_size));
  }
  if (weights.layers.size() != config.layers.size()) {
    return absl::InvalidArgumentError("weights of " + std::to_string(weights.layers.size()) +
                                      " layers; the config has " + std::to_string(config.layers.size()));
  }
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    RETURN_IF_ERROR(CheckLayer(config, weights.layers[i], "layers[" + std::to_string(i) + "]."));
  }
  RETURN_IF_ERROR(CheckNorm("final_norm", weights.final_norm, config.hidden_size));
  return config.tied_head ? absl::OkStatus()
                          : CheckLinear("head", weights.head, config.vocab_size, config.hidden_size);
}

absl::Status CheckGroups(const DecoderConfig& config, std::span<const PromptGroup* const> groups) {
  const auto check_ids = [&](const TokenIds& ids, std::size_t group, const char* field, std::size_t index) {
    if (ids.empty()) return absl::InvalidArgumentError(Where(group, field, index) + " has no tokens");
    for (const TokenId id : ids) {
      if (id < config.vocab_size) continue;
      return absl::InvalidArgumentError(Where(group, field, index) + ": token id " + std::to_string(id) +
                                        " is not below the vocabulary size " + std::to_string(config.vocab_size));
    }
    return absl::OkStatus();
  };
  for (std::size_t g = 0; g < groups.size(); ++g) {
    RETURN_IF_ERROR(check_ids(groups[g]->prompt, g, "prompt", 0));
    for (std::size_t c = 0; c < groups[g]->completions.size(); ++c) {
      const TokenIds& completion = groups[g]->completions[c];
      RETURN_IF_ERROR(check_ids(completion, g, "completion", c));
      const auto length = static_cast<std::int64_t>(groups[g]->prompt.size() + completion.size());
      if (length <= config.max_context_tokens) continue;
      return absl::InvalidArgumentError(Where(g, "completion", c) + ": " + std::to_string(length) +
                                        " tokens with its prompt, over the context length of " +
                                        std::to_string(config.max_context_tokens));
    }
  }
  return absl::OkStatus();
}

}  // namespace prefscore
