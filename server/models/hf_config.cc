// SPDX-License-Identifier: Apache-2.0
#include "server/models/hf_config.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/models/config_fields.h"
#include "server/models/hf_bookkeeping.h"
#include "server/models/hf_layers.h"
#include "server/models/hf_rope.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::int64_t kMaxLayers = 4096;
constexpr std::int64_t kMaxWidth = std::int64_t{1}
                                   << 24;  // of a hidden state, a head, an MLP; keeps products in 64 bits

enum class AttentionBias {
  kNone,
  kQueryKeyValue,  // always, and none on the output: Qwen 2
  kConfigured,     // attention_bias, on all four
};

// What tells one architecture of the Llama family from another, with the defaults of its configuration class.
struct Family {
  std::string_view model_type;
  NormKind norm = NormKind::kRms;
  NormPlacement norm_placement = NormPlacement::kPre;
  QueryKeyNorm query_key_norm = QueryKeyNorm::kNone;
  AttentionBias attention_bias = AttentionBias::kNone;
  bool has_mlp_bias_field = false;
  bool scales_embedding = false;  // by sqrt(hidden_size)
  bool tied_head = false;
  std::string_view activation_field = "hidden_act";
  std::string_view activation = "silu";
  double norm_epsilon = 1e-6;
  double rope_theta = 10000.0;
  std::int64_t head_dim = 0;      // 0: hidden_size / num_attention_heads
  bool kv_heads_default = false;  // absent num_key_value_heads means num_attention_heads
  std::int64_t max_position_embeddings = 0;
};

std::vector<Family> MakeFamilies() {
  Family llama{.model_type = "llama"};
  llama.attention_bias = AttentionBias::kConfigured;
  llama.has_mlp_bias_field = true;
  llama.kv_heads_default = true;
  llama.max_position_embeddings = 2048;

  Family mistral{.model_type = "mistral"};
  mistral.max_position_embeddings = 131072;

  Family qwen2{.model_type = "qwen2"};
  qwen2.attention_bias = AttentionBias::kQueryKeyValue;
  qwen2.max_position_embeddings = 32768;

  Family qwen3{.model_type = "qwen3"};
  qwen3.query_key_norm = QueryKeyNorm::kPerHead;
  qwen3.attention_bias = AttentionBias::kConfigured;
  qwen3.head_dim = 128;
  qwen3.max_position_embeddings = 32768;

  Family gemma{.model_type = "gemma"};
  gemma.norm = NormKind::kRmsOnePlusWeight;
  gemma.attention_bias = AttentionBias::kConfigured;
  gemma.scales_embedding = true;
  gemma.tied_head = true;
  gemma.activation = "gelu_pytorch_tanh";
  gemma.head_dim = 256;
  gemma.max_position_embeddings = 8192;

  Family gemma2 = gemma;
  gemma2.model_type = "gemma2";
  gemma2.norm_placement = NormPlacement::kSandwich;
  gemma2.activation_field = "hidden_activation";

  Family gemma3 = gemma2;
  gemma3.model_type = "gemma3_text";
  gemma3.query_key_norm = QueryKeyNorm::kPerHead;
  gemma3.max_position_embeddings = 131072;

  Family phi3{.model_type = "phi3"};
  phi3.norm_epsilon = 1e-5;
  phi3.kv_heads_default = true;
  phi3.max_position_embeddings = 4096;

  Family olmo2{.model_type = "olmo2"};
  olmo2.norm_placement = NormPlacement::kPost;
  olmo2.query_key_norm = QueryKeyNorm::kWholeProjection;
  olmo2.attention_bias = AttentionBias::kConfigured;
  olmo2.norm_epsilon = 1e-5;
  olmo2.kv_heads_default = true;
  olmo2.max_position_embeddings = 2048;

  Family smollm3{.model_type = "smollm3"};
  smollm3.attention_bias = AttentionBias::kConfigured;
  smollm3.has_mlp_bias_field = true;
  smollm3.tied_head = true;
  smollm3.rope_theta = 2'000'000.0;
  smollm3.max_position_embeddings = 32768;

  return {llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3, phi3, olmo2, smollm3};
}

Activation ReadActivation(ConfigFields& config, std::string_view field, std::string_view fallback) {
  const std::string name = config.Text(field, std::string(fallback));
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return Activation::kGeluTanh;
  if (name == "gelu") return Activation::kGeluErf;
  if (name == "relu") return Activation::kRelu;
  config.Fault(config.Unsupported(field, "silu, swish, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu"));
  return Activation::kSilu;
}

// A null cap is none; an absent one has the architecture's default (0: none).
double ReadSoftcap(ConfigFields& config, std::string_view field, double fallback) {
  return config.IsNull(field) ? config.Positive(field, 0.0) : config.Positive(field, fallback);
}

std::int64_t ReadWidth(ConfigFields& config, std::string_view field, std::optional<std::int64_t> fallback = {}) {
  const std::int64_t width = config.Count(field, fallback);
  if (width <= kMaxWidth) return width;
  config.Fault(config.Invalid(field, absl::StrCat("at most ", kMaxWidth)));
  return 1;
}

std::int64_t ReadNumLayers(ConfigFields& config, std::string_view field) {
  const std::int64_t num_layers = config.Count(field);
  if (num_layers <= kMaxLayers) return num_layers;
  config.Fault(config.Invalid(field, absl::StrCat("at most ", kMaxLayers)));
  return 1;
}

void ReadGemma2Attention(ConfigFields& config, DecoderConfig& decoder) {
  decoder.attention_scale = std::pow(config.Positive("query_pre_attn_scalar", 256.0), -0.5);
  const bool gemma2 = decoder.architecture == "gemma2";
  decoder.logit_softcap = ReadSoftcap(config, "final_logit_softcapping", gemma2 ? 30.0 : 0.0);
  decoder.attention_softcap = ReadSoftcap(config, "attn_logit_softcapping", gemma2 ? 50.0 : 0.0);
  if (!gemma2 && decoder.attention_softcap != 0.0) {
    config.Fault(
        config.Unsupported("attn_logit_softcapping", "null: transformers reads it for Gemma 3, but does not apply it"));
  }
  config.Ignore("hidden_act");  // an older name for hidden_activation that transformers does not read here
}

// What only one architecture has, apart from its layers' windows.
void ReadPeculiarities(ConfigFields& config, DecoderConfig& decoder) {
  const std::string& architecture = decoder.architecture;
  if (architecture == "phi3") {
    for (const char* field : {"full_attn_mod", "interpolate_factor"}) {
      if (config.Number(field, 1.0) != 1.0) config.Fault(config.Unsupported(field, "1"));
    }
  } else if (architecture == "gemma") {
    // Released with hidden_act "gelu" where the tanh form was meant; hidden_activation is not read.
    if (decoder.activation == Activation::kGeluErf) decoder.activation = Activation::kGeluTanh;
    if (config.Text("hidden_activation", "gelu_pytorch_tanh") != "gelu_pytorch_tanh") {
      config.Fault(config.Unsupported("hidden_activation", "gelu_pytorch_tanh"));
    }
  } else if (architecture == "gemma2" || architecture == "gemma3_text") {
    ReadGemma2Attention(config, decoder);
  }
}

DecoderConfig ReadLlamaFamily(const Family& family, ConfigFields& config) {
  DecoderConfig decoder;
  decoder.architecture = std::string(family.model_type);
  decoder.hidden_size = ReadWidth(config, "hidden_size");
  decoder.intermediate_size = ReadWidth(config, "intermediate_size");
  decoder.layers.resize(ReadNumLayers(config, "num_hidden_layers"));
  decoder.num_heads = ReadWidth(config, "num_attention_heads");
  decoder.num_kv_heads = family.kv_heads_default ? ReadWidth(config, "num_key_value_heads", decoder.num_heads)
                                                 : ReadWidth(config, "num_key_value_heads");
  if (decoder.num_heads % decoder.num_kv_heads != 0) {
    config.Fault(
        config.Invalid("num_key_value_heads", absl::StrCat("a divisor of num_attention_heads = ", decoder.num_heads)));
  }
  const std::int64_t derived_head_dim = decoder.hidden_size / decoder.num_heads;
  decoder.head_dim = ReadWidth(config, "head_dim", family.head_dim != 0 ? family.head_dim : derived_head_dim);
  decoder.vocab_size = config.Count("vocab_size");

  decoder.norm = family.norm;
  decoder.norm_placement = family.norm_placement;
  decoder.norm_epsilon = config.Positive("rms_norm_eps", family.norm_epsilon);
  decoder.query_key_norm = family.query_key_norm;
  decoder.activation = ReadActivation(config, family.activation_field, family.activation);
  if (family.attention_bias == AttentionBias::kConfigured) {
    decoder.query_key_value_bias = decoder.attention_output_bias = config.Flag("attention_bias", false);
  } else {
    decoder.query_key_value_bias = family.attention_bias == AttentionBias::kQueryKeyValue;
  }
  if (family.has_mlp_bias_field) decoder.mlp_bias = config.Flag("mlp_bias", false);
  decoder.attention_scale = std::pow(static_cast<double>(decoder.head_dim), -0.5);
  if (family.scales_embedding) decoder.embedding_scale = std::sqrt(static_cast<double>(decoder.hidden_size));
  decoder.tied_head = config.Flag("tie_word_embeddings", family.tied_head);
  ReadPeculiarities(config, decoder);
  ReadLayerKinds(config, decoder);

  RopeContext rope;
  rope.architecture = decoder.architecture;
  rope.head_dim = decoder.head_dim;
  rope.max_position_embeddings = config.Count("max_position_embeddings", family.max_position_embeddings);
  rope.default_theta = family.rope_theta;
  if (decoder.architecture == "gemma3_text") {
    decoder.ropes = ReadGemma3Ropes(config, rope);
    for (LayerConfig& layer : decoder.layers) layer.rope = layer.sliding_window != 0 ? 1 : 0;
  } else {
    decoder.ropes = {ReadRope(config, rope)};
  }
  decoder.max_context_tokens = MaxContextTokens(decoder.ropes.front(), rope);
  return decoder;
}

DecoderConfig ReadGpt2(ConfigFields& config) {
  DecoderConfig decoder;
  decoder.architecture = "gpt2";
  decoder.hidden_size = ReadWidth(config, "n_embd");
  decoder.intermediate_size = ReadWidth(config, "n_inner", 4 * decoder.hidden_size);
  decoder.layers.resize(ReadNumLayers(config, "n_layer"));
  for (LayerConfig& layer : decoder.layers) layer.rope = -1;
  decoder.num_heads = decoder.num_kv_heads = ReadWidth(config, "n_head");
  decoder.head_dim = decoder.hidden_size / decoder.num_heads;
  if (decoder.hidden_size % decoder.num_heads != 0) {
    config.Fault(config.Invalid("n_head", absl::StrCat("a divisor of n_embd = ", decoder.hidden_size)));
  }
  decoder.vocab_size = config.Count("vocab_size");
  decoder.max_context_tokens = config.Count("n_positions", 1024);
  config.Ignore("n_ctx");  // an older name for n_positions that transformers does not read

  decoder.norm = NormKind::kLayer;
  decoder.norm_epsilon = config.Positive("layer_norm_epsilon", 1e-5);
  decoder.activation = ReadActivation(config, "activation_function", "gelu_new");
  decoder.gated_mlp = false;
  decoder.query_key_value_bias = decoder.attention_output_bias = decoder.mlp_bias = true;
  decoder.attention_scale =
      config.Flag("scale_attn_weights", true) ? std::pow(static_cast<double>(decoder.head_dim), -0.5) : 1.0;
  config.Ignore("reorder_and_upcast_attn");  // the same sums in another order
  decoder.learned_positions = true;
  decoder.tied_head = config.Flag("tie_word_embeddings", true);
  return decoder;
}

}  // namespace

absl::StatusOr<DecoderConfig> ParseHfConfig(const nlohmann::json& json, const std::string& where) {
  static const auto* const kFamilies = new std::vector<Family>(MakeFamilies());
  ConfigFields config(json, where);
  const std::string model_type = config.Text("model_type");
  RETURN_IF_ERROR(config.status());

  DecoderConfig decoder;
  if (model_type == "gpt2") {
    decoder = ReadGpt2(config);
  } else {
    std::string supported = "gpt2";
    for (const Family& family : *kFamilies) {
      if (model_type == family.model_type) decoder = ReadLlamaFamily(family, config);
      absl::StrAppend(&supported, ", ", std::string(family.model_type));
    }
    if (decoder.architecture.empty()) return config.Unsupported("model_type", supported);
  }
  for (const auto& item : json.items()) {
    if (IsBookkeeping(item.key())) config.Ignore(item.key());
  }
  config.RefuseUnknown();
  RETURN_IF_ERROR(config.status());
  return decoder;
}

}  // namespace prefscore
