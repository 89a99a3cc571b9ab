// SPDX-License-Identifier: Apache-2.0
#include "server/models/load_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tests/testing/safetensors_writer.h"

namespace prefscore {
namespace {

using nlohmann::json;
using testing::FloatBytes;
using ::testing::HasSubstr;
using testing::SafetensorsFile;
using testing::TensorToWrite;
using testing::WriteFile;

constexpr int kHidden = 16, kIntermediate = 32, kVocab = 24, kLayers = 2;

// A folder in the making: a two-layer Llama with deterministic weights, to be changed before it is written.
struct Model {
  json config = {{"model_type", "llama"},        {"vocab_size", kVocab},
                 {"hidden_size", kHidden},       {"intermediate_size", kIntermediate},
                 {"num_hidden_layers", kLayers}, {"num_attention_heads", 2},
                 {"num_key_value_heads", 1},     {"max_position_embeddings", 64},
                 {"tie_word_embeddings", false}};
  std::vector<TensorToWrite> tensors;

  Model() {
    Add("model.embed_tokens.weight", {kVocab, kHidden});
    for (int i = 0; i < kLayers; ++i) {
      const std::string layer = absl::StrCat("model.layers.", i, ".");
      Add(layer + "input_layernorm.weight", {kHidden});
      Add(layer + "self_attn.q_proj.weight", {16, kHidden});
      Add(layer + "self_attn.k_proj.weight", {8, kHidden});
      Add(layer + "self_attn.v_proj.weight", {8, kHidden});
      Add(layer + "self_attn.o_proj.weight", {kHidden, 16});
      Add(layer + "post_attention_layernorm.weight", {kHidden});
      Add(layer + "mlp.gate_proj.weight", {kIntermediate, kHidden});
      Add(layer + "mlp.up_proj.weight", {kIntermediate, kHidden});
      Add(layer + "mlp.down_proj.weight", {kHidden, kIntermediate});
    }
    Add("model.norm.weight", {kHidden});
    Add("lm_head.weight", {kVocab, kHidden});
  }

  void Add(const std::string& name, const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (const std::int64_t dimension : shape) count *= dimension;
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
      values[i] = static_cast<float>((i * 7 + name.size() * 13) % 31) / 31.0f - 0.4f;
    tensors.push_back({name, shape, FloatBytes(values)});
  }

  TensorToWrite& Tensor(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(),
                         [&](const TensorToWrite& tensor) { return tensor.name == name; });
  }

  void Remove(const std::string& name) { tensors.erase(tensors.begin() + (&Tensor(name) - tensors.data())); }

  void SetFloat(const std::string& name, std::size_t index, float value) {
    Tensor(name).bytes.replace(index * sizeof(float), sizeof(float), FloatBytes({value}));
  }
};

class LoadModelTest : public ::testing::Test {
 protected:
  // A new folder with the model as `change` leaves it, in `num_shards` files.
  std::filesystem::path Write(
      const std::function<void(Model&)>& change = [](Model&) {}, int num_shards = 1) {
    Model model;
    change(model);
    const std::filesystem::path folder = root_.path() / absl::StrCat("model-", num_folders_++);
    std::filesystem::create_directory(folder);
    WriteFile(folder / "config.json", model.config.dump());
    if (num_shards == 1) {
      WriteFile(folder / "model.safetensors", SafetensorsFile(model.tensors));
      return folder;
    }
    std::vector<std::vector<TensorToWrite>> shards(num_shards);
    json weight_map;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
      shards[i % num_shards].push_back(model.tensors[i]);
      weight_map[model.tensors[i].name] = absl::StrCat("shard-", i % num_shards, ".safetensors");
    }
    for (int i = 0; i < num_shards; ++i) {
      WriteFile(folder / absl::StrCat("shard-", i, ".safetensors"), SafetensorsFile(shards[i]));
    }
    WriteFile(folder / "model.safetensors.index.json", json{{"weight_map", weight_map}}.dump());
    return folder;
  }

  std::shared_ptr<const CausalLm> Load(const std::filesystem::path& folder, const std::string& dtype = "float32") {
    auto model = LoadModel(folder, {.dtype = dtype, .num_threads = 2});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *model : nullptr;
  }

  std::string Digest(const std::function<void(Model&)>& change, int num_shards = 1) {
    const auto model = Load(Write(change, num_shards));
    return model == nullptr ? "" : model->info().digest;
  }

  void ExpectFault(const std::filesystem::path& folder, absl::StatusCode code, const std::vector<std::string>& parts) {
    const auto model = LoadModel(folder, {});
    ASSERT_FALSE(model.ok()) << "accepted; expected: " << parts.front();
    EXPECT_EQ(model.status().code(), code) << model.status();
    for (const std::string& part : parts) EXPECT_THAT(std::string(model.status().message()), HasSubstr(part));
    EXPECT_THAT(std::string(model.status().message()), HasSubstr(folder.string()));
  }

  testing::TemporaryFolder root_;
  int num_folders_ = 0;
};

TEST_F(LoadModelTest, SaysWhatItLoaded) {
  const auto model = Load(Write());
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->info().architecture, "llama");
  EXPECT_EQ(model->info().digest.size(), 64u);
  EXPECT_EQ(model->info().dtype, "float32");
  EXPECT_FALSE(model->info().numerics_mode.empty());
  EXPECT_EQ(model->info().vocab_size, kVocab);
  EXPECT_EQ(model->info().max_context_tokens, 64);
  const int layer = 2 * kHidden + 16 * kHidden * 2 + 8 * kHidden * 2 + 3 * kIntermediate * kHidden;
  EXPECT_EQ(model->info().num_parameters, 2 * kVocab * kHidden + kLayers * layer + kHidden);
}

TEST_F(LoadModelTest, RefusesADeviceThatIsNotHere) {
  const auto folder = Write();
  const auto status_on = [&](const std::string& device) {
    return LoadModel(folder, {.num_threads = 2, .device = device}).status();
  };
  EXPECT_EQ(status_on("tpu").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status_on("tpu").message()), HasSubstr("'tpu'; expected cpu or cuda:N"));
  EXPECT_EQ(status_on("cuda:99").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status_on("cuda:99").message()), HasSubstr("'cuda:99'"));
}

TEST_F(LoadModelTest, ChoosesADeviceThatIsHereAndSaysWhyNoGpu) {
  const DeviceChoice choice = ChooseDevice();
  EXPECT_TRUE(LoadModel(Write(), {.num_threads = 2, .device = choice.device}).ok());
  EXPECT_EQ(choice.device == "cpu", !choice.why_no_gpu.empty());
  if (choice.device == "cpu") {
    EXPECT_THAT(choice.why_no_gpu, HasSubstr("device 'cuda:0': "));
  }
}

TEST_F(LoadModelTest, ScoresTheSameFromOneFileAndFromShards) {
  const PromptGroup group{{1, 2, 3}, {{4, 5}, {6}}};
  const PromptGroup* groups[] = {&group};
  // The first is gone before the second is loaded, or they would be one.
  auto model = Load(Write());
  const auto from_one_file = model->Forward(groups);
  model.reset();
  model = Load(Write([](Model&) {}, 3));
  const auto from_shards = model->Forward(groups);
  ASSERT_TRUE(from_one_file.ok()) << from_one_file.status();
  ASSERT_TRUE(from_shards.ok()) << from_shards.status();
  EXPECT_EQ(*from_one_file, *from_shards);
}

TEST_F(LoadModelTest, MissingPieces) {
  ExpectFault(root_.path() / "nowhere", absl::StatusCode::kNotFound, {"does not exist"});
  std::filesystem::path folder = Write();
  std::filesystem::remove(folder / "config.json");
  ExpectFault(folder, absl::StatusCode::kNotFound, {"config.json"});
  folder = Write();
  std::filesystem::remove(folder / "model.safetensors");
  ExpectFault(folder, absl::StatusCode::kNotFound, {"model.safetensors"});
}

TEST_F(LoadModelTest, BadFiles) {
  const std::filesystem::path folder = Write();
  const std::filesystem::path weights = folder / "model.safetensors";
  std::filesystem::resize_file(weights, std::filesystem::file_size(weights) - 1);
  ExpectFault(folder, absl::StatusCode::kInvalidArgument, {"model.safetensors", "truncated"});
  std::filesystem::resize_file(weights, 0);
  ExpectFault(folder, absl::StatusCode::kInvalidArgument, {"model.safetensors", "truncated"});
  WriteFile(folder / "config.json", "{\"model_type\": ");
  ExpectFault(folder, absl::StatusCode::kInvalidArgument, {"config.json", "not valid JSON"});
  WriteFile(folder / "config.json", R"({"model_type": "llama", "model_type": "gpt2"})");
  ExpectFault(folder, absl::StatusCode::kInvalidArgument, {"config.json", "'model_type' twice"});
}

TEST_F(LoadModelTest, UnsupportedTypes) {
  ExpectFault(Write([](Model& model) { model.config["model_type"] = "rwkv"; }), absl::StatusCode::kUnimplemented,
              {"model_type", "rwkv"});
  ExpectFault(Write([](Model& model) {
                TensorToWrite& norm = model.Tensor("model.norm.weight");
                norm.dtype = "F64";
                norm.bytes += norm.bytes;
              }),
              absl::StatusCode::kUnimplemented, {"model.norm.weight", "F64"});
  EXPECT_EQ(LoadModel(Write(), {.dtype = "float16"}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LoadModelTest, TensorsThatDoNotFitTheConfig) {
  ExpectFault(Write([](Model& model) { model.Remove("model.layers.1.mlp.up_proj.weight"); }),
              absl::StatusCode::kInvalidArgument, {"lacks 1 tensors", "model.layers.1.mlp.up_proj.weight"});
  ExpectFault(Write([](Model& model) { model.config["num_hidden_layers"] = 3; }), absl::StatusCode::kInvalidArgument,
              {"lacks 9 tensors", "model.layers.2.input_layernorm.weight", "and 4 more"});
  ExpectFault(Write([](Model& model) { model.Add("model.layers.1.self_attn.q_proj.bias", {16}); }),
              absl::StatusCode::kInvalidArgument, {"does not ask for", "model.layers.1.self_attn.q_proj.bias"});
  ExpectFault(Write([](Model& model) { model.config["num_hidden_layers"] = 1; }), absl::StatusCode::kInvalidArgument,
              {"does not ask for", "model.layers.1."});
  ExpectFault(Write([](Model& model) { model.config["num_key_value_heads"] = 2; }), absl::StatusCode::kInvalidArgument,
              {"model.layers.0.self_attn.k_proj.weight", "[8, 16]", "[16, 16]"});
  ExpectFault(Write([](Model& model) { model.config["vocab_size"] = 25; }), absl::StatusCode::kInvalidArgument,
              {"embed_tokens", "[24, 16]", "[25, 16]"});
}

TEST_F(LoadModelTest, NonFiniteWeightsAreRefusedByName) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::string last = "lm_head.weight";
  for (const auto& [value, index] :
       {std::pair(nan, 0), {infinity, 1}, {-infinity, 100}, {-nan, kVocab * kHidden - 1}}) {
    ExpectFault(Write([&](Model& model) { model.SetFloat(last, index, value); }), absl::StatusCode::kInvalidArgument,
                {last, "NaN or an infinity"});
  }
  EXPECT_NE(Digest([&](Model& model) { model.SetFloat(last, 0, std::numeric_limits<float>::max()); }), "");
  for (const auto& [dtype, bits] : {std::pair("BF16", 0x7f80), {"BF16", 0xffff}, {"F16", 0x7c00}, {"F16", 0xfe01}}) {
    ExpectFault(Write([&, dtype = dtype, bits = bits](Model& model) {
                  TensorToWrite& norm = model.Tensor("model.norm.weight");
                  norm.dtype = dtype;
                  norm.bytes.assign(2 * kHidden, '\0');
                  norm.bytes[2 * kHidden - 2] = static_cast<char>(bits & 0xff);
                  norm.bytes[2 * kHidden - 1] = static_cast<char>(bits >> 8);
                }),
                absl::StatusCode::kInvalidArgument, {"model.norm.weight", "NaN or an infinity"});
  }
}

TEST_F(LoadModelTest, IdenticalFoldersShareOneModel) {
  const auto model = Load(Write());
  EXPECT_EQ(Load(Write()), model);
  EXPECT_EQ(Load(Write([](Model&) {}, 2)), model);
  EXPECT_NE(Load(Write(), "bfloat16"), model);
  EXPECT_NE(*LoadModel(Write(), {.dtype = "float32", .num_threads = 1}), model);
  EXPECT_NE(Load(Write([](Model& changed) { changed.SetFloat("model.norm.weight", 3, 2.0f); })), model);
}

TEST_F(LoadModelTest, AModelIsNotKeptAliveByItsTable) {
  std::weak_ptr<const CausalLm> model = Load(Write());
  EXPECT_TRUE(model.expired());
}

TEST_F(LoadModelTest, DigestIgnoresShardingAndBookkeeping) {
  const std::string digest = Digest([](Model&) {});
  EXPECT_EQ(Digest([](Model&) {}, 2), digest);
  EXPECT_EQ(Digest([](Model&) {}, 5), digest);
  EXPECT_EQ(Digest([](Model& model) { std::reverse(model.tensors.begin(), model.tensors.end()); }), digest);
  EXPECT_EQ(Digest([](Model& model) { model.config["eos_token_id"] = 7; }), digest);
  EXPECT_EQ(Digest([](Model& model) { model.config["rope_theta"] = 10000; }), digest);  // said or defaulted
  EXPECT_EQ(Digest([](Model& model) { model.Add("model.layers.0.self_attn.rotary_emb.inv_freq", {4}); }), digest);
}

TEST_F(LoadModelTest, DigestNoticesEveryTensorAndNumber) {
  std::vector<std::string> digests = {Digest([](Model&) {})};
  for (const TensorToWrite& tensor : Model().tensors) {
    digests.push_back(Digest([&](Model& model) { model.SetFloat(tensor.name, 5, 0.123f); }));
  }
  // The same change under another name of the same length.
  for (const std::string layer : {"0", "1"}) {
    digests.push_back(
        Digest([&](Model& model) { model.SetFloat("model.layers." + layer + ".mlp.up_proj.weight", 0, 0.5f); }));
  }
  for (const json& change :
       {json{{"rope_theta", 10001.0}}, json{{"rms_norm_eps", 1.0000001e-6}}, json{{"hidden_act", "gelu"}},
        json{{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}}}}, json{{"max_position_embeddings", 65}}}) {
    digests.push_back(Digest([&](Model& model) { model.config.update(change); }));
  }
  std::sort(digests.begin(), digests.end());
  EXPECT_NE(digests.front(), "");
  EXPECT_EQ(std::adjacent_find(digests.begin(), digests.end()), digests.end());
}

TEST_F(LoadModelTest, TiedHeads) {
  const auto tie = [](Model& model) { model.config["tie_word_embeddings"] = true; };
  const std::string tied = Digest([&](Model& model) { tie(model), model.Remove("lm_head.weight"); });
  EXPECT_NE(tied, "");
  // A head equal to the embedding is the embedding; one with other values is used.
  EXPECT_EQ(Digest([&](Model& model) {
              tie(model);
              model.Tensor("lm_head.weight").bytes = model.Tensor("model.embed_tokens.weight").bytes;
            }),
            tied);
  EXPECT_EQ(Digest(tie), Digest([](Model&) {}));
  ExpectFault(Write([](Model& model) { model.Remove("lm_head.weight"); }), absl::StatusCode::kInvalidArgument,
              {"lacks 1 tensors", "lm_head.weight"});
}

}  // namespace
}  // namespace prefscore
