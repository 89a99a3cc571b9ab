// SPDX-License-Identifier: Apache-2.0
#include "server/models/hf_weights.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::size_t kMaxNamesInMessage = 5;

std::string NameList(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kMaxNamesInMessage);
  std::string list = absl::StrJoin(names.begin(), names.begin() + shown, ", ");
  if (names.size() > shown) absl::StrAppend(&list, " and ", names.size() - shown, " more");
  return list;
}

// Takes tensors from a checkpoint by name and keeps account of what was taken, what was missing and what is left.
class Binder {
 public:
  explicit Binder(const Checkpoint& checkpoint) : tensors_(checkpoint.tensors()) {}

  bool Has(const std::string& name) const { return tensors_.contains(name); }

  WeightView Vector(const std::string& name, std::int64_t size) { return Take(name, {size}, 1, size); }
  WeightView Matrix(const std::string& name, std::int64_t num_out, std::int64_t num_in) {
    return Take(name, {num_out, num_in}, num_out, num_in);
  }
  // Stored as [in][out], as GPT-2's Conv1D does.
  WeightView Transposed(const std::string& name, std::int64_t num_out, std::int64_t num_in) {
    WeightView view = Take(name, {num_in, num_out}, num_out, num_in);
    view.out_stride = 1;
    view.in_stride = num_out;
    return view;
  }

  // A tensor that may be there and is not needed.
  void Ignore(const std::string& name) { ignored_.insert(name); }

  // OK where every tensor was there with its shape and none is left over.
  absl::Status Finish(bool (*is_buffer)(const std::string&)) const {
    RETURN_IF_ERROR(status_);
    if (!missing_.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("the checkpoint lacks ", missing_.size(),
                                                     " tensors that config.json asks for: ", NameList(missing_)));
    }
    std::vector<std::string> extra;
    for (const auto& [name, entry] : tensors_) {
      if (!used_.contains(name) && !ignored_.contains(name) && !is_buffer(name)) extra.push_back(name);
    }
    if (!extra.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("the checkpoint has ", extra.size(),
                                                     " tensors that config.json does not ask for: ", NameList(extra)));
    }
    return absl::OkStatus();
  }

  std::vector<const SafetensorsEntry*> Used() const {
    std::vector<const SafetensorsEntry*> entries;
    for (const auto& [name, entry] : used_) entries.push_back(entry);
    return entries;
  }

 private:
  WeightView Take(const std::string& name, const std::vector<std::int64_t>& shape, std::int64_t num_out,
                  std::int64_t num_in) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      missing_.push_back(name);
      return {};
    }
    const SafetensorsEntry& entry = found->second;
    used_.emplace(name, &entry);
    if (entry.shape != shape) {
      status_.Update(
          absl::InvalidArgumentError(absl::StrCat("tensor '", name, "' has shape [", absl::StrJoin(entry.shape, ", "),
                                                  "], but config.json asks for [", absl::StrJoin(shape, ", "), "]")));
      return {};
    }
    WeightView view;
    if (entry.dtype == "F32") {
      view.dtype = DType::kFloat32;
    } else if (entry.dtype == "BF16") {
      view.dtype = DType::kBfloat16;
    } else if (entry.dtype == "F16") {
      view.dtype = DType::kFloat16;
    } else {
      status_.Update(absl::UnimplementedError(
          absl::StrCat("tensor '", name, "' has dtype ", entry.dtype, "; supported: F32, BF16, F16")));
      return {};
    }
    view.data = entry.bytes.data();
    view.num_out = num_out;
    view.num_in = num_in;
    view.out_stride = num_in;
    view.in_stride = 1;
    return view;
  }

  const std::map<std::string, SafetensorsEntry>& tensors_;
  std::map<std::string, const SafetensorsEntry*> used_;
  std::set<std::string> ignored_;
  std::vector<std::string> missing_;
  absl::Status status_;
};

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

LinearView Linear(Binder& binder, const std::string& name, std::int64_t num_out, std::int64_t num_in, bool bias) {
  LinearView view;
  view.weight = binder.Matrix(name + ".weight", num_out, num_in);
  if (bias) view.bias = binder.Vector(name + ".bias", num_out);
  return view;
}

LayerWeightViews LlamaLayer(Binder& binder, const DecoderConfig& config, const std::string& prefix) {
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

NormView LayerNorm(Binder& binder, const std::string& name, std::int64_t width) {
  return {binder.Vector(name + ".weight", width), binder.Vector(name + ".bias", width)};
}

LayerWeightViews Gpt2Layer(Binder& binder, const DecoderConfig& config, const std::string& prefix) {
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

// transformers ignores these, too: it computes them from the config.
bool IsBuffer(const std::string& name) {
  return absl::EndsWith(name, ".rotary_emb.inv_freq") || absl::EndsWith(name, ".attn.bias") ||
         absl::EndsWith(name, ".attn.masked_bias");
}

// The head, and whether it is the token embedding.
std::pair<WeightView, bool> BindHead(Binder& binder, const DecoderConfig& config, const Checkpoint& checkpoint,
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
  Binder binder(checkpoint);
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
  RETURN_IF_ERROR(binder.Finish(IsBuffer));
  bound.used = binder.Used();
  return bound;
}

}  // namespace prefscore
