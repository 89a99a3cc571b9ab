// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/tokenizer.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tokenizer/model_folder.h"

namespace prefscore {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::unique_ptr<Tokenizer> MustLoad(const ModelFolder& folder, TokenizerOptions options = {}) {
  auto tokenizer = Tokenizer::Load(folder.path(), std::move(options));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return std::move(tokenizer).value();
}

absl::Status LoadError(const ModelFolder& folder) { return Tokenizer::Load(folder.path()).status(); }

TEST(TokenizerTest, EncodesWithAndWithoutSpecialTokens) {
  ModelFolder folder;
  const auto tokenizer = MustLoad(folder);
  EXPECT_THAT(*tokenizer->Encode("ab cd", true), ElementsAre(0, 7, 6, 9));
  EXPECT_THAT(*tokenizer->Encode("a</s>b", false), ElementsAre(2, 1, 3));
  EXPECT_THAT(*tokenizer->Encode("", true), ElementsAre(0));
  EXPECT_EQ(tokenizer->eos_token(), "</s>");
  EXPECT_EQ(tokenizer->vocab_size(), 10);
  EXPECT_FALSE(tokenizer->has_chat_template());
}

TEST(TokenizerTest, RefusesTextThatIsTooLongOrNotUtf8) {
  ModelFolder folder;
  TokenizerOptions options;
  options.max_text_bytes = 8;
  const auto tokenizer = MustLoad(folder, options);
  EXPECT_TRUE(tokenizer->Encode("abababab", true).ok());
  const absl::Status too_long = tokenizer->Encode("ababababa", true).status();
  EXPECT_EQ(too_long.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(too_long.message()), HasSubstr("9 bytes, the limit is 8"));
  for (const std::string bad : {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\xaf"}) {
    const absl::Status status = tokenizer->Encode(bad, true).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("not UTF-8"));
  }
}

// A pattern that tries all ways to cut a text into "a" and "aa" before it gives up: exponential in the length of a run.
TEST(TokenizerTest, GivesUpAPatternThatBacktracksWithoutEnd) {
  ModelFolder folder;
  folder.Write("tokenizer.json",
               Replace(kTokenizerJson, R"("pre_tokenizer": null)",
                       R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|aa)+c"}, "behavior": "Isolated",
                                            "invert": false})"));
  const auto tokenizer = MustLoad(folder);
  EXPECT_TRUE(tokenizer->Encode("aaac", false).ok());
  std::string many_runs;  // each is short enough for itself, the search for the "c" passes through all of them
  for (int i = 0; i < 100; ++i) many_runs += std::string(28, 'a') + "b";
  for (const std::string& text : {std::string(60, 'a') + "bc", many_runs + "c"}) {
    const absl::Status status = tokenizer->Encode(text, false).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("a pattern of tokenizer.json"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("10000000 steps"));
  }
  EXPECT_TRUE(tokenizer->Encode("ab", false).ok()) << "goes on";
}

TEST(TokenizerTest, NamesTheFileThatIsMissingOrMalformed) {
  ModelFolder folder;
  folder.Remove("tokenizer.json");
  EXPECT_EQ(LoadError(folder).code(), absl::StatusCode::kNotFound);
  for (const std::string bad : {"", "{", "[]", "{}", "\xff", R"({"added_tokens": [{}]})",
                                R"({"added_tokens": [{"content": "x"}], "model": {}})"}) {
    folder.Write("tokenizer.json", bad);
    EXPECT_EQ(LoadError(folder).code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(LoadError(folder).message()), HasSubstr("tokenizer.json")) << bad;
  }
  folder.Write("tokenizer.json", kTokenizerJson);
  const std::string deep = "{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
  for (const std::string name : {"tokenizer_config.json", "special_tokens_map.json", "config.json"}) {
    for (const std::string& bad : {std::string("{"), std::string("[1]"), deep}) {
      folder.Write(name, bad);
      EXPECT_EQ(LoadError(folder).code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(LoadError(folder).message()), HasSubstr(name));
    }
    folder.Write(name, "{}");
  }
  EXPECT_TRUE(Tokenizer::Load(folder.path()).ok());
}

TEST(TokenizerTest, RefusesWhatTransformersWouldRebuild) {
  ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "eos_token": "</s>"})");
  const absl::Status status = LoadError(folder);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("transformers would rebuild this tokenizer as its class Llama"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("AutoTokenizer.from_pretrained(dir).save_pretrained(dir)"));
  folder.Write("config.json", R"({"model_type": "phi3"})");  // registered with a class that uses the file
  EXPECT_TRUE(Tokenizer::Load(folder.path()).ok());
  folder.Write("tokenizer_config.json", "{}");
  folder.Write("config.json", R"({"model_type": "gpt2"})");
  EXPECT_EQ(LoadError(folder).code(), absl::StatusCode::kFailedPrecondition);
  folder.Write("tokenizer_config.json", R"({"auto_map": {"AutoTokenizer": ["code.Tokenizer", null]}})");
  EXPECT_EQ(LoadError(folder).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(TokenizerTest, AcceptsARebuildThatGivesTheFile) {
  ModelFolder folder;
  std::string json = Replace(kTokenizerJson, "\"pre_tokenizer\": null",
                             R"("pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
                                                  "split": false})");
  json = Replace(json, "\"fuse_unk\": false, \"byte_fallback\": false", "\"fuse_unk\": true, \"byte_fallback\": true");
  json = Replace(json, "\" \": 6", "\"▁\": 6");
  folder.Write("tokenizer.json", json);
  folder.Write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "unk_token": null})");
  EXPECT_THAT(*MustLoad(folder)->Encode("a", false), ElementsAre(6, 2));
  folder.Write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "unk_token": null, "legacy": true})");
  EXPECT_EQ(LoadError(folder).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(TokenizerTest, AppliesTheConfigurationsTokens) {
  ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"eos_token": "</s>", "sep_token": "bd", "extra_special_tokens": ["ca"]})");
  auto tokenizer = MustLoad(folder);
  EXPECT_THAT(*tokenizer->Encode("abdca", false), ElementsAre(2, 10, 11));
  EXPECT_EQ(tokenizer->vocab_size(), 12);
  folder.Write("tokenizer_config.json", R"({"eos_token": "</s>", "split_special_tokens": true})");
  folder.Write("tokenizer.json", Replace(kTokenizerJson, "\"truncation\": null",
                                         R"("truncation": {"direction": "Right", "max_length": 2,
                                                           "strategy": "LongestFirst", "stride": 0})"));
  EXPECT_THAT(*MustLoad(folder)->Encode("abcd ab", true), ElementsAre(0, 7, 9, 6, 7));
}

TEST(TokenizerTest, FingerprintFollowsWhatDecidesIds) {
  ModelFolder folder;
  const std::string original = MustLoad(folder)->fingerprint();
  EXPECT_EQ(original.size(), 64u);
  EXPECT_EQ(MustLoad(folder)->fingerprint(), original);
  folder.Write("tokenizer.json", Replace(kTokenizerJson, "\"decoder\": null", "\"decoder\": {\"type\": \"ByteLevel\", "
                                         "\"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}"));
  EXPECT_EQ(MustLoad(folder)->fingerprint(), original);  // decoding decides no id

  std::vector<std::string> seen = {original};
  const auto expect_new = [&](const std::string& change) {
    const std::string fingerprint = MustLoad(folder)->fingerprint();
    EXPECT_THAT(seen, testing::Not(testing::Contains(fingerprint))) << change;
    seen.push_back(fingerprint);
  };
  folder.Write("tokenizer.json", Replace(kTokenizerJson, "[\"b\", \"c\"], ", ""));
  expect_new("merges");
  folder.Write("tokenizer.json", Replace(kTokenizerJson, "\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}"));
  expect_new("normalizer");
  folder.Write("tokenizer.json", kTokenizerJson);
  folder.Write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "<s>"})");
  expect_new("EOS");
  folder.Write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>", "split_special_tokens": true})");
  expect_new("split_special_tokens");
  folder.Write("chat_template.jinja", "{{ messages[0].content }}");
  expect_new("template");
  folder.Write("chat_template.jinja", "{{ messages[0].content }} ");
  expect_new("a space in the template");
}

TEST(TokenizerTest, GivesTheSameIdsFromManyThreads) {
  ModelFolder folder;
  folder.Write("chat_template.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  const auto tokenizer = MustLoad(folder);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread_idx = 0; thread_idx < 8; ++thread_idx) {
    threads.emplace_back([&, thread_idx] {
      const std::string text = std::string(thread_idx, 'd') + "abcd";
      const TokenIds expected = *tokenizer->Encode(text, false);
      for (int round = 0; round < 50; ++round) {
        const auto chat = tokenizer->RenderChat({.messages_json = R"([{"role":"user","content":")" + text + "\"}]"});
        if (!chat.ok() || chat->text != text || *tokenizer->Encode(chat->text, false) != expected) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace prefscore
