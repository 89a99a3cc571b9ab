// SPDX-License-Identifier: Apache-2.0
#include "server/models/hf_weights.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/models/weight_binder.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// Outputs [begin, begin + count) of a fused layer.
LinearView Outputs(LinearView fused, std::int64_t begin, std::int64_t count) {
  const auto element_bytes = [](DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; };
  if (fused.weight) {
    fused.weight.data += begin * fused.weight.out_stride * element_bytes(fused.weight.dtype);
    fused.weight.num_out = count;
  }
  if (fused.bias) {
    fused.bias.data += begin * element_bytes(fused.bias.dtype);
    fused.bias.num_in = count;
  }
  return fused;
}

LinearView Linear(WeightBinder& binder, const std::string& name, std::int64_t num_out, std::int64_t num_in, bool bias) {
  LinearView view;
  view.weight = binder.Matrix(name + ".weight", num_out, num_in);
  if (bias) view.bias = binder.Vector(name + ".bias", num_out);
  return view;
}

LayerWeightViews LlamaLayer(WeightBinder& binder, const DecoderConfig& config, const std::string& prefix) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t intermediate = config.intermediate_size;
  const std::int64_t query_width = config.num_heads * config.head_dim;
  const std::int64_t kv_width = config.num_kv_heads * config.head_dim;
  const std::string attention = prefix + "self_attn.";
  const std::string mlp = prefix + "mlp.";
  const auto norm = [&](const std::string& name, std::int64_t width) {
    return NormView{binder.Vector(name + ".weight", width), {}};
  };

  LayerWeightViews layer;
  switch (config.norm_placement) {
    case NormPlacement::kPre:
      layer.pre_attention_norm = norm(prefix + "input_layernorm", hidden);
      layer.pre_mlp_norm = norm(prefix + "post_attention_layernorm", hidden);  // after the attention, before the MLP
      break;
    case NormPlacement::kSandwich:
      layer.pre_attention_norm = norm(prefix + "input_layernorm", hidden);
      layer.pre_mlp_norm = norm(prefix + "pre_feedforward_layernorm", hidden);
      [[fallthrough]];
    case NormPlacement::kPost:
      layer.post_attention_norm = norm(prefix + "post_attention_layernorm", hidden);
      layer.post_mlp_norm = norm(prefix + "post_feedforward_layernorm", hidden);
      break;
  }

  if (config.architecture == "phi3") {
    const LinearView fused =
        Linear(binder, attention + "qkv_proj", query_width + 2 * kv_width, hidden, config.query_key_value_bias);
    layer.query = Outputs(fused, 0, query_width);
    layer.key = Outputs(fused, query_width, kv_width);
    layer.value = Outputs(fused, query_width + kv_width, kv_width);
    const LinearView gate_up = Linear(binder, mlp + "gate_up_proj", 2 * intermediate, hidden, config.mlp_bias);
    layer.gate = Outputs(gate_up, 0, intermediate);
    layer.up = Outputs(gate_up, intermediate, intermediate);
  } else {
    layer.query = Linear(binder, attention + "q_proj", query_width, hidden, config.query_key_value_bias);
    layer.key = Linear(binder, attention + "k_proj", kv_width, hidden, config.query_key_value_bias);
    layer.value = Linear(binder, attention + "v_proj", kv_width, hidden, config.query_key_value_bias);
    layer.gate = Linear(binder, mlp + "gate_proj", intermediate, hidden, config.mlp_bias);
    layer.up = Linear(binder, mlp + "up_proj", intermediate, hidden, config.mlp_bias);
  }
  layer.attention_output = Linear(binder, attention + "o_proj", hidden, query_width, config.attention_output_bias);
  layer.down = Linear(binder, mlp + "down_proj", hidden, intermediate, config.mlp_bias);

  if (config.query_key_norm != QueryKeyNorm::kNone) {
    const bool per_head = config.query_key_norm == QueryKeyNorm::kPerHead;
    layer.query_norm = norm(attention + "q_norm", per_head ? config.head_dim : query_width);
    layer.key_norm = norm(attention + "k_norm", per_head ? config.head_dim : kv_width);
  }
  return layer;
}

NormView LayerNorm(WeightBinder& binder, const std::string& name, std::int64_t width) {
  return {binder.Vector(name + ".weight", width), binder.Vector(name + ".bias", width)};
}

LayerWeightViews Gpt2Layer(WeightBinder& binder, const DecoderConfig& config, const std::string& prefix) {
  const std::int64_t hidden = config.hidden_size;
  const auto conv1d = [&](const std::string& name, std::int64_t num_out, std::int64_t num_in) {
    return LinearView{binder.Transposed(prefix + name + ".weight", num_out, num_in),
                      binder.Vector(prefix + name + ".bias", num_out)};
  };
  LayerWeightViews layer;
  layer.pre_attention_norm = LayerNorm(binder, prefix + "ln_1", hidden);
  layer.pre_mlp_norm = LayerNorm(binder, prefix + "ln_2", hidden);
  const LinearView fused = conv1d("attn.c_attn", 3 * hidden, hidden);
  layer.query = Outputs(fused, 0, hidden);
  layer.key = Outputs(fused, hidden, hidden);
  layer.value = Outputs(fused, 2 * hidden, hidden);
  layer.attention_output = conv1d("attn.c_proj", hidden, hidden);
  layer.up = conv1d("mlp.c_fc", config.intermediate_size, hidden);
  layer.down = conv1d("mlp.c_proj", hidden, config.intermediate_size);
  return layer;
}

bool SameValues(const SafetensorsEntry& left, const SafetensorsEntry& right) {
  return left.dtype == right.dtype && left.shape == right.shape && left.bytes.size() == right.bytes.size() &&
         std::memcmp(left.bytes.data(), right.bytes.data(), left.bytes.size()) == 0;
}

// The head, and whether it is the token embedding.
std::pair<WeightView, bool> BindHead(WeightBinder& binder, const DecoderConfig& config, const Checkpoint& checkpoint,
                                     const std::string& embedding_name, const WeightView& embedding) {
  const std::string name = "lm_head.weight";
  const auto head = checkpoint.tensors().find(name);
  if (config.tied_head) {
    if (head == checkpoint.tensors().end()) return {embedding, true};
    const auto tied = checkpoint.tensors().find(embedding_name);
    if (tied != checkpoint.tensors().end() && SameValues(head->second, tied->second)) {
      binder.Ignore(name);
      return {embedding, true};
    }
  }
  return {binder.Matrix(name, config.vocab_size, config.hidden_size), false};
}

}  // namespace

absl::StatusOr<BoundWeights> BindHfWeights(const DecoderConfig& config, const Checkpoint& checkpoint) {
  const bool gpt2 = config.architecture == "gpt2";
  const std::string embedding = gpt2 ? "wte.weight" : "embed_tokens.weight";
  WeightBinder binder(checkpoint);
  // A base model saved without its head has names without this prefix.
  std::string prefix = gpt2 ? "transformer." : "model.";
  if (!binder.Has(prefix + embedding) && binder.Has(embedding)) prefix.clear();

  BoundWeights bound;
  DecoderWeightViews& views = bound.views;
  views.token_embedding = binder.Matrix(prefix + embedding, config.vocab_size, config.hidden_size);
  if (gpt2) {
    views.position_embedding = binder.Matrix(prefix + "wpe.weight", config.max_context_tokens, config.hidden_size);
    views.final_norm = LayerNorm(binder, prefix + "ln_f", config.hidden_size);
  } else {
    views.final_norm.weight = binder.Vector(prefix + "norm.weight", config.hidden_size);
  }
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    views.layers.push_back(gpt2 ? Gpt2Layer(binder, config, absl::StrCat(prefix, "h.", i, "."))
                                : LlamaLayer(binder, config, absl::StrCat(prefix, "layers.", i, ".")));
  }
  std::tie(views.head.weight, bound.tied_head) =
      BindHead(binder, config, checkpoint, prefix + embedding, views.token_embedding);
  RETURN_IF_ERROR(binder.Finish());
  bound.used = binder.used();
  return bound;
}

}  // namespace prefscore
