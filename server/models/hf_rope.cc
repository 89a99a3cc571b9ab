// SPDX-License-Identifier: Apache-2.0
#include "server/models/hf_rope.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

using Kind = RopeConfig::Kind;

constexpr double kMaxFactor = 1e6;

// What stands outside the rope object and counts where the object does not say.
struct Surroundings {
  double theta = 10000.0;
  double partial_rotary_factor = 1.0;
  std::optional<std::int64_t> original_max_positions;  // goes before the object's own, as in transformers
  bool nested = false;
};

Kind ReadKind(ConfigFields& rope, const RopeContext& context) {
  const std::string old_spelling = rope.Text("type", "default");
  const std::string name = rope.Text("rope_type", old_spelling);
  if (rope.Has("type") && name != old_spelling) rope.Fault(rope.Invalid("type", "the value of rope_type"));
  const std::string_view field = rope.Has("rope_type") ? "rope_type" : "type";
  if (name == "default") return Kind::kDefault;
  if (context.architecture == "phi3") {
    // Phi 3 was published with other names for what is longrope today.
    if (name == "longrope" || name == "su" || name == "yarn") return Kind::kLongRope;
    rope.Fault(rope.Unsupported(field, "default, longrope"));
    return Kind::kDefault;
  }
  if (name == "linear") return Kind::kLinear;
  if (name == "dynamic") return Kind::kDynamic;
  if (name == "llama3") return Kind::kLlama3;
  if (name == "yarn") return Kind::kYarn;
  if (name == "longrope") return Kind::kLongRope;
  rope.Fault(rope.Unsupported(field, "default, linear, dynamic, llama3, yarn, longrope"));
  return Kind::kDefault;
}

double ReadFactor(ConfigFields& rope, std::optional<double> fallback = {}) {
  const double factor = rope.Positive("factor", fallback);
  if (factor < 1.0 || factor > kMaxFactor) {
    rope.Fault(rope.Invalid("factor", absl::StrCat("a number from 1 to ", kMaxFactor)));
    return 1.0;
  }
  return factor;
}

double YarnAttentionFactor(const RopeConfig& config) {
  const auto magnitude = [&](double scale) {
    return config.factor <= 1.0 ? 1.0 : 0.1 * scale * std::log(config.factor) + 1.0;
  };
  if (config.mscale.value_or(0.0) != 0.0 && config.mscale_all_dim.value_or(0.0) != 0.0) {
    return magnitude(*config.mscale) / magnitude(*config.mscale_all_dim);
  }
  return magnitude(1.0);
}

void ReadYarn(ConfigFields& rope, const Surroundings& outside, RopeConfig& config) {
  config.beta_fast = rope.Positive("beta_fast", 32.0);
  config.beta_slow = rope.Positive("beta_slow", 1.0);
  config.truncate = rope.Flag("truncate", true);
  if (outside.nested && !config.truncate) {
    rope.Fault(rope.Unsupported("truncate", "true, since transformers does not read it per layer type"));
  }
  if (rope.Has("mscale")) config.mscale = rope.Number("mscale");
  if (rope.Has("mscale_all_dim")) config.mscale_all_dim = rope.Number("mscale_all_dim");
  config.attention_factor = rope.Positive("attention_factor", YarnAttentionFactor(config));
  rope.Ignore("finetuned");  // how the weights were made
}

void ReadLongRope(ConfigFields& rope, RopeConfig& config) {
  const double original = static_cast<double>(config.original_max_positions);
  const double fallback = config.factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(config.factor) / std::log(original));
  config.attention_factor = rope.Positive("attention_factor", fallback);
  config.short_factor = rope.Positives("short_factor");
  config.long_factor = rope.Positives("long_factor");
  const std::size_t expected = static_cast<std::size_t>(config.rotary_dim) / 2;
  if (config.short_factor.size() != expected) {
    rope.Fault(rope.Invalid("short_factor", absl::StrCat(expected, " numbers")));
  }
  if (config.long_factor.size() != expected) {
    rope.Fault(rope.Invalid("long_factor", absl::StrCat(expected, " numbers")));
  }
}

RopeConfig ReadObject(const nlohmann::json& object, const std::string& where, const Surroundings& outside,
                      const RopeContext& context, ConfigFields& config_fields) {
  ConfigFields rope(object, where);
  RopeConfig config;
  config.kind = ReadKind(rope, context);
  config.theta = rope.Positive("rope_theta", outside.theta);

  const double rotating_share = rope.Positive("partial_rotary_factor", outside.partial_rotary_factor);
  if (rotating_share > 1.0) rope.Fault(rope.Invalid("partial_rotary_factor", "at most 1"));
  if (rotating_share != 1.0 && context.architecture != "phi3") {
    rope.Fault(rope.Unsupported("partial_rotary_factor", "1 (other values: phi3 only)"));
  }
  config.rotary_dim = static_cast<std::int64_t>(static_cast<double>(context.head_dim) * rotating_share);
  if (config.rotary_dim < 2 || config.rotary_dim % 2 != 0) {
    rope.Fault(absl::InvalidArgumentError(absl::StrCat(where, ": ", config.rotary_dim, " dimensions of a head of ",
                                                       context.head_dim, " rotate; expected an even number >= 2")));
  }

  const bool has_original =
      config.kind == Kind::kLlama3 || config.kind == Kind::kYarn || config.kind == Kind::kLongRope;
  const double max_positions = static_cast<double>(context.max_position_embeddings);
  if (has_original) {
    config.original_max_positions = rope.Count("original_max_position_embeddings", context.max_position_embeddings);
    if (outside.original_max_positions) config.original_max_positions = *outside.original_max_positions;
    if (config.original_max_positions < 2) {
      rope.Fault(rope.Invalid("original_max_position_embeddings", "at least 2"));
    }
  }
  switch (config.kind) {
    case Kind::kDefault: break;
    case Kind::kLinear: config.factor = ReadFactor(rope); break;
    case Kind::kDynamic:
      config.factor = ReadFactor(rope);
      config.original_max_positions = context.max_position_embeddings;
      if (rope.Count("original_max_position_embeddings", context.max_position_embeddings) !=
          context.max_position_embeddings) {
        rope.Fault(rope.Unsupported("original_max_position_embeddings", "the value of max_position_embeddings"));
      }
      if (config.rotary_dim < 4) rope.Fault(rope.Unsupported("rope_type", "heads of at least 4 dimensions"));
      break;
    case Kind::kLlama3:
      config.factor = ReadFactor(rope);
      config.low_freq_factor = rope.Positive("low_freq_factor");
      config.high_freq_factor = rope.Positive("high_freq_factor");
      if (config.high_freq_factor <= config.low_freq_factor) {
        rope.Fault(rope.Invalid("high_freq_factor", "more than low_freq_factor"));
      }
      break;
    case Kind::kYarn:
      config.factor = ReadFactor(rope, max_positions / static_cast<double>(config.original_max_positions));
      ReadYarn(rope, outside, config);
      break;
    case Kind::kLongRope:
      config.factor =
          ReadFactor(rope, std::max(1.0, max_positions / static_cast<double>(config.original_max_positions)));
      ReadLongRope(rope, config);
      break;
  }
  rope.RefuseUnknown();
  config_fields.Fault(rope.status());
  return config;
}

}  // namespace

RopeConfig ReadRope(ConfigFields& config, const RopeContext& context) {
  static const nlohmann::json kEmpty = nlohmann::json::object();
  const nlohmann::json* old_spelling = config.Object("rope_scaling");
  const nlohmann::json* new_spelling = config.Object("rope_parameters");
  if (old_spelling != nullptr && new_spelling != nullptr && *old_spelling != *new_spelling) {
    config.Fault(config.Invalid("rope_scaling", "the value of rope_parameters, or one of the two"));
  }
  Surroundings outside;
  outside.theta = config.Positive("rope_theta", context.default_theta);
  outside.partial_rotary_factor = config.Positive("partial_rotary_factor", 1.0);
  if (config.Has("original_max_position_embeddings") || context.architecture == "phi3") {
    outside.original_max_positions = config.Count("original_max_position_embeddings", 4096);
  }
  const std::string_view name = new_spelling != nullptr ? "rope_parameters" : "rope_scaling";
  const nlohmann::json* object = new_spelling != nullptr ? new_spelling : old_spelling;
  return ReadObject(object != nullptr ? *object : kEmpty, absl::StrCat(config.where(), ": ", std::string(name)),
                    outside, context, config);
}

std::vector<RopeConfig> ReadGemma3Ropes(ConfigFields& config, const RopeContext& context) {
  const nlohmann::json* nested = config.Object("rope_parameters");
  const nlohmann::json* old_spelling = config.Object("rope_scaling");
  if (nested != nullptr && old_spelling != nullptr) {
    config.Fault(config.Invalid("rope_scaling", "null beside rope_parameters"));
  }
  if (old_spelling != nullptr && !old_spelling->contains("rope_type")) {
    config.Fault(config.Unsupported("rope_scaling", "an object with rope_type (transformers does not read type here)"));
  }
  const double global_theta = config.Positive("rope_theta", 1'000'000.0);
  const double local_theta = config.Positive("rope_local_base_freq", 10'000.0);

  nlohmann::json full = old_spelling != nullptr ? *old_spelling : nlohmann::json::object();
  nlohmann::json sliding = nlohmann::json::object();
  std::string where = absl::StrCat(config.where(), ": rope_scaling");
  if (nested != nullptr) {
    where = absl::StrCat(config.where(), ": rope_parameters");
    ConfigFields layer_types(*nested, where);
    if (const nlohmann::json* object = layer_types.Object("full_attention")) full = *object;
    if (const nlohmann::json* object = layer_types.Object("sliding_attention")) sliding = *object;
    layer_types.RefuseUnknown();
    config.Fault(layer_types.status());
  }
  Surroundings outside;
  outside.nested = true;
  outside.theta = global_theta;
  RopeConfig full_rope = ReadObject(full, absl::StrCat(where, ".full_attention"), outside, context, config);
  outside.theta = local_theta;
  RopeConfig sliding_rope = ReadObject(sliding, absl::StrCat(where, ".sliding_attention"), outside, context, config);
  return {std::move(full_rope), std::move(sliding_rope)};
}

std::int64_t MaxContextTokens(const RopeConfig& rope, const RopeContext& context) {
  const auto scaled = [&](std::int64_t positions) {
    return static_cast<std::int64_t>(static_cast<double>(positions) * rope.factor);
  };
  const std::int64_t stated = context.max_position_embeddings;
  if (context.architecture == "gemma3_text") return stated;
  switch (rope.kind) {
    case Kind::kLinear:
    case Kind::kDynamic: return scaled(stated);
    case Kind::kYarn: return std::max(stated, scaled(rope.original_max_positions));
    case Kind::kDefault:
    case Kind::kLlama3:
    case Kind::kLongRope: return stated;
  }
  return stated;
}

}  // namespace prefscore
