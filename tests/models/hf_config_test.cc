// SPDX-License-Identifier: Apache-2.0
// What config.json files may say. That the numbers come out right is tested in test_architectures.py.
#include "server/models/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace prefscore {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A Llama-like config.json with every field that has no default.
json Config(const std::string& model_type) {
  return {{"model_type", model_type}, {"vocab_size", 100},      {"hidden_size", 64},
          {"intermediate_size", 128}, {"num_hidden_layers", 4}, {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"head_dim", 16},         {"max_position_embeddings", 512}};
}

json Gpt2() { return {{"model_type", "gpt2"}, {"vocab_size", 100}, {"n_embd", 64}, {"n_layer", 2}, {"n_head", 4}}; }

json With(json config, const json& changes) {
  config.update(changes);
  return config;
}

DecoderConfig Parse(const json& config) {
  const auto decoder = ParseHfConfig(config, "config.json");
  EXPECT_TRUE(decoder.ok()) << decoder.status();
  return decoder.ok() ? *decoder : DecoderConfig{};
}

void ExpectFault(const json& config, absl::StatusCode code, const std::vector<std::string>& parts) {
  const auto decoder = ParseHfConfig(config, "config.json");
  ASSERT_FALSE(decoder.ok()) << "accepted: " << config.dump();
  EXPECT_EQ(decoder.status().code(), code) << decoder.status();
  for (const std::string& part : parts) EXPECT_THAT(std::string(decoder.status().message()), HasSubstr(part));
  EXPECT_THAT(std::string(decoder.status().message()), HasSubstr("config.json"));
}

void ExpectUnsupported(const json& config, const std::vector<std::string>& parts) {
  ExpectFault(config, absl::StatusCode::kUnimplemented, parts);
}

void ExpectInvalid(const json& config, const std::vector<std::string>& parts) {
  ExpectFault(config, absl::StatusCode::kInvalidArgument, parts);
}

std::vector<std::int64_t> Windows(const DecoderConfig& decoder) {
  std::vector<std::int64_t> windows;
  for (const LayerConfig& layer : decoder.layers) windows.push_back(layer.sliding_window);
  return windows;
}

TEST(HfConfigTest, ReadsALlama) {
  const DecoderConfig decoder = Parse(With(Config("llama"), {{"rms_norm_eps", 1e-5}, {"attention_bias", true}}));
  EXPECT_EQ(decoder.architecture, "llama");
  EXPECT_EQ(decoder.hidden_size, 64);
  EXPECT_EQ(decoder.num_kv_heads, 2);
  EXPECT_EQ(decoder.head_dim, 16);
  EXPECT_EQ(decoder.max_context_tokens, 512);
  EXPECT_EQ(decoder.norm_epsilon, 1e-5);
  EXPECT_EQ(decoder.attention_scale, 0.25);
  EXPECT_TRUE(decoder.query_key_value_bias);
  EXPECT_TRUE(decoder.attention_output_bias);
  EXPECT_FALSE(decoder.mlp_bias);
  EXPECT_FALSE(decoder.tied_head);
  ASSERT_EQ(decoder.ropes.size(), 1u);
  EXPECT_EQ(decoder.ropes[0].theta, 10000.0);
  EXPECT_EQ(decoder.ropes[0].rotary_dim, 16);
}

TEST(HfConfigTest, AcceptsRealConfigsWithTheirBookkeeping) {
  Parse(With(Config("llama"), json::parse(R"({
      "_name_or_path": "x", "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
      "bos_token_id": 1, "eos_token_id": [2, 3], "hidden_act": "silu", "initializer_range": 0.041,
      "is_llama_config": true, "mlp_bias": false, "pretraining_tp": 2, "rms_norm_eps": 1e-05, "rope_interleaved": false,
      "rope_scaling": null, "rope_theta": 100000, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
      "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}, "transformers_version": "4.42.3",
      "use_cache": true})")));
  Parse(With(Config("phi3"), json::parse(R"({
      "architectures": ["Phi3ForCausalLM"], "attention_bias": false,
      "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}, "embd_pdrop": 0.1, "full_attn_mod": 1,
      "interpolate_factor": 1, "lm_head_bias": false, "mlp_bias": false, "original_max_position_embeddings": 4096,
      "resid_pdrop": 0.1, "rope_scaling": null, "sliding_window": 262144, "task_specific_params": {"a": 1}})")));
  Parse(With(Config("qwen2"), json::parse(R"({
      "max_window_layers": 28, "sliding_window": 131072, "use_mrope": false, "use_sliding_window": false})")));
  Parse(With(Config("gemma2"), json::parse(R"({
      "cache_implementation": "hybrid", "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
      "sliding_window": 4096, "sliding_window_size": 4096, "query_pre_attn_scalar": 224})")));
  Parse(With(Config("smollm3"), json::parse(R"({
      "max_window_layers": 28, "no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0, 1], "pretraining_tp": 2,
      "layer_types": ["full_attention", "full_attention", "full_attention", "full_attention"],
      "sliding_window": null, "use_sliding_window": false})")));
  Parse(With(Gpt2(), json::parse(R"({
      "activation_function": "gelu_new", "attn_pdrop": 0.1, "embd_pdrop": 0.1, "layer_norm_epsilon": 1e-05,
      "n_ctx": 1024,
      "n_positions": 1024, "output_past": true, "pruned_heads": {}, "resid_pdrop": 0.1, "summary_first_dropout": 0.1,
      "summary_type": "cls_index", "summary_use_proj": true, "task_specific_params": {"text-generation": {}}})")));
}

TEST(HfConfigTest, RefusesWhatItDoesNotKnowByNameAndValue) {
  ExpectUnsupported(With(Config("llama"), {{"residual_multiplier", 0.22}}), {"residual_multiplier", "0.22"});
  ExpectUnsupported(With(Config("llama"), {{"sliding_window", 64}}), {"sliding_window = 64"});
  ExpectUnsupported(With(Config("llama"), {{"quantization_config", {{"bits", 4}}}}), {"quantization_config", "bits"});
  ExpectUnsupported(With(Config("llama"), {{"per_layer_config", {{"0", {{"head_dim", 8}}}}}}), {"per_layer_config"});
  ExpectUnsupported(With(Config("qwen2"), {{"dual_chunk_attention_config", {{"chunk_size", 8}}}}), {"dual_chunk"});
  ExpectUnsupported(With(Config("qwen2"), {{"attention_bias", true}}), {"attention_bias = true"});
  ExpectUnsupported(With(Config("mistral"), {{"mlp_bias", true}}), {"mlp_bias = true"});
  ExpectUnsupported(With(Config("gemma"), {{"use_bidirectional_attention", true}}), {"use_bidirectional_attention"});
  ExpectUnsupported(With(Config("gemma3_text"), {{"attn_logit_softcapping", 50.0}}), {"attn_logit_softcapping = 50"});
  ExpectUnsupported(With(Config("phi3"), {{"interpolate_factor", 2}}), {"interpolate_factor = 2"});
  ExpectUnsupported(With(Config("llama"), {{"hidden_act", "quick_gelu"}}), {"hidden_act", "quick_gelu"});
  ExpectUnsupported(With(Gpt2(), {{"scale_attn_by_inverse_layer_idx", true}}), {"scale_attn_by_inverse_layer_idx"});
  ExpectUnsupported(With(Gpt2(), {{"add_cross_attention", true}}), {"add_cross_attention"});
  ExpectUnsupported(Config("mamba"), {"model_type", "mamba", "llama", "gpt2", "gemma3_text"});
}

TEST(HfConfigTest, RefusesWhatIsMissingOrMalformed) {
  json without_width = Config("llama");
  without_width.erase("hidden_size");
  ExpectInvalid(without_width, {"hidden_size is missing"});
  ExpectInvalid(json::object(), {"model_type is missing"});
  ExpectInvalid(With(Config("llama"), {{"hidden_size", 64.5}}), {"hidden_size = 64.5"});
  ExpectInvalid(With(Config("llama"), {{"hidden_size", "64"}}), {"hidden_size = \"64\""});
  ExpectInvalid(With(Config("llama"), {{"num_hidden_layers", 0}}), {"num_hidden_layers = 0"});
  ExpectInvalid(With(Config("llama"), {{"num_hidden_layers", 100000}}), {"num_hidden_layers = 100000", "4096"});
  ExpectInvalid(With(Config("llama"), {{"hidden_size", 18446744073709551615u}}),
                {"hidden_size = 18446744073709551615"});
  ExpectInvalid(With(Config("llama"), {{"intermediate_size", 2147483647}}), {"intermediate_size = 2147483647"});
  ExpectInvalid(With(Config("llama"), {{"num_key_value_heads", 3}}), {"num_key_value_heads = 3", "4"});
  ExpectInvalid(With(Config("llama"), {{"rms_norm_eps", -1e-5}}), {"rms_norm_eps"});
  ExpectInvalid(With(Config("llama"), {{"tie_word_embeddings", "yes"}}), {"tie_word_embeddings"});
  ExpectInvalid(With(Config("llama"), {{"head_dim", 15}}), {"15 dimensions"});
  ExpectInvalid(With(Config("qwen3"), {{"layer_types", {"full_attention"}}}), {"layer_types", "4 entries"});
  ExpectInvalid(With(Gpt2(), {{"n_head", 5}}), {"n_head = 5"});
}

TEST(HfConfigTest, WindowsOfEachArchitecture) {
  EXPECT_THAT(Windows(Parse(Config("llama"))), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(Windows(Parse(Config("mistral"))), ElementsAre(4096, 4096, 4096, 4096));  // absent: the class default
  EXPECT_THAT(Windows(Parse(With(Config("mistral"), {{"sliding_window", nullptr}}))), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(Windows(Parse(With(Config("phi3"), {{"sliding_window", 9}}))), ElementsAre(9, 9, 9, 9));
  const json qwen =
      With(Config("qwen2"), {{"use_sliding_window", true}, {"sliding_window", 7}, {"max_window_layers", 3}});
  EXPECT_THAT(Windows(Parse(qwen)), ElementsAre(0, 0, 0, 7));
  EXPECT_THAT(Windows(Parse(With(qwen, {{"max_window_layers", 0}}))), ElementsAre(7, 7, 7, 7));
  EXPECT_THAT(Windows(Parse(With(qwen, {{"use_sliding_window", false}}))), ElementsAre(0, 0, 0, 0));
  const json layer_types = {"sliding_attention", "full_attention", "full_attention", "sliding_attention"};
  EXPECT_THAT(Windows(Parse(With(qwen, {{"layer_types", layer_types}}))), ElementsAre(7, 0, 0, 7));
  EXPECT_THAT(Windows(Parse(With(Config("gemma2"), {{"sliding_window", 5}}))), ElementsAre(5, 0, 5, 0));
  EXPECT_THAT(Windows(Parse(With(Config("gemma3_text"), {{"sliding_window", 5}, {"sliding_window_pattern", 3}}))),
              ElementsAre(5, 5, 0, 5));

  ExpectInvalid(With(Config("qwen2"), {{"layer_types", layer_types}}), {"sliding_window"});
  ExpectUnsupported(With(Config("mistral"), {{"layer_types", layer_types}}), {"layer_types"});
  ExpectUnsupported(
      With(qwen, {{"layer_types", {"chunked_attention", "full_attention", "full_attention", "full_attention"}}}),
      {"layer_types", "chunked_attention"});
  ExpectInvalid(With(Config("gemma2"), {{"sliding_window", nullptr}}), {"sliding_window"});
}

TEST(HfConfigTest, NoPeLayersAndTheirWindows) {
  const DecoderConfig decoder = Parse(
      With(Config("smollm3"), {{"no_rope_layers", {1, 0, 1, 0}}, {"use_sliding_window", true}, {"sliding_window", 6}}));
  EXPECT_EQ(decoder.layers[0].rope, 0);
  EXPECT_EQ(decoder.layers[1].rope, -1);
  EXPECT_THAT(Windows(decoder), ElementsAre(0, 6, 0, 6));
  EXPECT_EQ(Parse(Config("smollm3")).layers[3].rope, -1);
  ExpectInvalid(With(Config("smollm3"), {{"no_rope_layers", {1, 0}}}), {"no_rope_layers", "4"});
}

TEST(HfConfigTest, GemmaDefaults) {
  const DecoderConfig gemma = Parse(With(Config("gemma"), {{"hidden_act", "gelu"}}));
  EXPECT_EQ(gemma.activation, Activation::kGeluTanh);
  EXPECT_EQ(gemma.embedding_scale, 8.0);
  EXPECT_TRUE(gemma.tied_head);
  const DecoderConfig gemma2 = Parse(Config("gemma2"));
  EXPECT_EQ(gemma2.attention_scale, 1.0 / 16);  // query_pre_attn_scalar, not head_dim
  EXPECT_EQ(gemma2.attention_softcap, 50.0);
  EXPECT_EQ(gemma2.logit_softcap, 30.0);
  EXPECT_EQ(Parse(With(Config("gemma2"), {{"attn_logit_softcapping", nullptr}})).attention_softcap, 0.0);
  const DecoderConfig gemma3 = Parse(With(Config("gemma3_text"), {{"num_hidden_layers", 6}}));
  ASSERT_EQ(gemma3.ropes.size(), 2u);
  EXPECT_EQ(gemma3.ropes[gemma3.layers[5].rope].theta, 1e6);
  EXPECT_EQ(gemma3.ropes[gemma3.layers[0].rope].theta, 1e4);
  EXPECT_EQ(gemma3.layers[5].sliding_window, 0);
}

TEST(HfConfigTest, OldAndNewRopeSpellingsAgree) {
  const json parameters = {{"rope_type", "llama3"},
                           {"factor", 8.0},
                           {"low_freq_factor", 1.0},
                           {"high_freq_factor", 4.0},
                           {"original_max_position_embeddings", 64}};
  const RopeConfig old_spelling =
      Parse(With(Config("llama"), {{"rope_theta", 5e5}, {"rope_scaling", parameters}})).ropes[0];
  const RopeConfig new_spelling =
      Parse(With(Config("llama"), {{"rope_parameters", With(parameters, {{"rope_theta", 5e5}})}})).ropes[0];
  for (const RopeConfig& rope : {old_spelling, new_spelling}) {
    EXPECT_EQ(rope.kind, RopeConfig::Kind::kLlama3);
    EXPECT_EQ(rope.theta, 5e5);
    EXPECT_EQ(rope.factor, 8.0);
    EXPECT_EQ(rope.original_max_positions, 64);
  }
  EXPECT_EQ(Parse(With(Config("llama"), {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}})).ropes[0].kind,
            RopeConfig::Kind::kLinear);
}

TEST(HfConfigTest, ContextLengthOfEachRopeScaling) {
  const auto context = [](const json& changes) { return Parse(With(Config("llama"), changes)).max_context_tokens; };
  EXPECT_EQ(context({{"rope_scaling", {{"rope_type", "linear"}, {"factor", 4.0}}}}), 2048);
  EXPECT_EQ(context({{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.5}}}}), 1280);
  EXPECT_EQ(context({{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}}), 2048);
  EXPECT_EQ(
      context({{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 128}}}}),
      512);
  const json long_rope = {{"rope_type", "longrope"},
                          {"short_factor", json::array({1, 1, 1, 1, 1, 1, 1, 1})},
                          {"long_factor", json::array({2, 2, 2, 2, 2, 2, 2, 2})},
                          {"original_max_position_embeddings", 64}};
  EXPECT_EQ(context({{"rope_scaling", long_rope}}), 512);
  EXPECT_EQ(Parse(With(Gpt2(), {{"n_positions", 77}})).max_context_tokens, 77);
}

TEST(HfConfigTest, AttentionFactorsAreResolved) {
  const RopeConfig yarn =
      Parse(With(Config("llama"), {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}})).ropes[0];
  EXPECT_NEAR(*yarn.attention_factor, 0.1 * std::log(4.0) + 1.0, 1e-15);
  const json factors = json::array({1, 1, 1, 1, 1, 1, 1, 1});
  const RopeConfig phi =
      Parse(With(Config("phi3"),
                 {{"original_max_position_embeddings", 128},
                  {"rope_scaling", {{"type", "su"}, {"short_factor", factors}, {"long_factor", factors}}}}))
          .ropes[0];
  EXPECT_EQ(phi.kind, RopeConfig::Kind::kLongRope);
  EXPECT_EQ(phi.factor, 4.0);
  EXPECT_NEAR(*phi.attention_factor, std::sqrt(1.0 + std::log(4.0) / std::log(128.0)), 1e-15);
}

TEST(HfConfigTest, RefusesBadRopes) {
  const auto rope = [](const json& parameters) { return With(Config("llama"), {{"rope_parameters", parameters}}); };
  ExpectUnsupported(rope({{"rope_type", "proportional"}}), {"rope_parameters", "rope_type", "proportional"});
  ExpectUnsupported(rope({{"rope_type", "default"}, {"mrope_section", {1, 2, 3}}}), {"mrope_section"});
  ExpectUnsupported(rope({{"rope_type", "default"}, {"factor", 2.0}}), {"factor = 2"});
  ExpectUnsupported(rope({{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}), {"partial_rotary_factor = 0.5"});
  ExpectUnsupported(rope({{"full_attention", {{"rope_type", "default"}}}}), {"full_attention"});
  ExpectInvalid(rope({{"rope_type", "linear"}}), {"factor is missing"});
  ExpectInvalid(rope({{"rope_type", "linear"}, {"factor", 0.5}}), {"factor = 0.5"});
  ExpectInvalid(rope({{"rope_type", "dynamic"}, {"factor", 1e300}}), {"factor = 1e+300"});
  ExpectInvalid(rope({{"rope_theta", 0.0}}), {"rope_theta = 0"});
  ExpectInvalid(rope({{"rope_type", "longrope"}, {"short_factor", {1.0}}, {"long_factor", {1.0}}}),
                {"short_factor", "8 numbers"});
  ExpectInvalid(With(Config("llama"), {{"rope_parameters", 7}}), {"rope_parameters = 7"});
  ExpectUnsupported(With(Config("gemma3_text"), {{"rope_parameters", {{"rope_type", "default"}}}}), {"rope_type"});
  ExpectUnsupported(With(Config("phi3"), {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}),
                    {"type", "linear"});
}

}  // namespace
}  // namespace prefscore
