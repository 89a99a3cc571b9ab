// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/tokenizer_abi.h"

#include <unistd.h>

#include <array>
#include <cctype>
#include <cstdio>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tokenizer/model_folder.h"

namespace prefscore {
namespace {

using testing::HasSubstr;

constexpr char kNoChanges[] = R"({"add_tokens": [], "split_special_tokens": false, "rebuild": null})";
constexpr std::int32_t kOk = 0;
constexpr std::int32_t kInvalidArgument = 3;
constexpr std::int32_t kInternal = 13;

class TokenizerAbiTest : public testing::Test {
 protected:
  ~TokenizerAbiTest() override {
    prefscore_tokenizer_free(tokenizer_);
    prefscore_template_free(template_);
  }

  std::int32_t Load(const std::string& json, const std::string& changes = kNoChanges) {
    return Noted(prefscore_tokenizer_load(json.data(), json.size(), changes.data(), changes.size(), &tokenizer_, &text_));
  }

  // Keeps the error's text in error_.
  std::int32_t Noted(std::int32_t code) {
    if (code != kOk) {
      error_.assign(text_.data == nullptr ? "" : text_.data, text_.length);
      prefscore_text_free(text_);
      text_ = {};
    }
    return code;
  }

  prefscore_tokenizer* tokenizer_ = nullptr;
  prefscore_template* template_ = nullptr;
  prefscore_ids ids_{};
  prefscore_text text_{};
  std::string error_;
};

TEST_F(TokenizerAbiTest, NullPointersAreErrors) {
  EXPECT_EQ(Noted(prefscore_tokenizer_load(nullptr, 5, kNoChanges, 1, &tokenizer_, &text_)), kInvalidArgument);
  EXPECT_THAT(error_, HasSubstr("null"));
  EXPECT_EQ(prefscore_tokenizer_load(nullptr, 5, kNoChanges, 1, &tokenizer_, nullptr), kInvalidArgument);
  const std::string json = kTokenizerJson;
  EXPECT_EQ(Noted(prefscore_tokenizer_load(json.data(), json.size(), kNoChanges, sizeof kNoChanges - 1, nullptr, &text_)),
            kInvalidArgument);
  EXPECT_EQ(Noted(prefscore_tokenizer_encode(nullptr, "a", 1, true, &ids_, &text_)), kInvalidArgument);
  EXPECT_EQ(Noted(prefscore_tokenizer_identity(nullptr, &text_, &text_)), kInvalidArgument);
  EXPECT_EQ(Noted(prefscore_template_render(nullptr, "{}", 2, nullptr, nullptr, &text_, &text_)), kInvalidArgument);
  EXPECT_EQ(prefscore_tokenizer_vocab_size(nullptr), 0);
  ASSERT_EQ(Load(json), kOk);
  EXPECT_EQ(Noted(prefscore_tokenizer_encode(tokenizer_, nullptr, 1, true, &ids_, &text_)), kInvalidArgument);
  EXPECT_EQ(Noted(prefscore_tokenizer_encode(tokenizer_, "a", 1, true, nullptr, &text_)), kInvalidArgument);
  EXPECT_EQ(prefscore_tokenizer_encode(tokenizer_, nullptr, 0, false, &ids_, nullptr), kOk);
  EXPECT_EQ(ids_.length, 0u);
  prefscore_ids_free(ids_);
  prefscore_text_free({});
  prefscore_ids_free({});
}

TEST_F(TokenizerAbiTest, BadTextIsAnError) {
  EXPECT_EQ(Load("\xff"), kInvalidArgument);
  EXPECT_THAT(error_, HasSubstr("not UTF-8: invalid at byte 0"));
  EXPECT_EQ(Load(kTokenizerJson, "{}"), kInvalidArgument);
  EXPECT_EQ(Load("{\"model\": " + std::string(100000, '[')), kInvalidArgument);
  EXPECT_EQ(Noted(prefscore_template_compile("\xc3(", 2, &template_, &text_)), kInvalidArgument);
  ASSERT_EQ(prefscore_template_compile("{{ a }}", 7, &template_, nullptr), kOk);
  EXPECT_EQ(Noted(prefscore_template_render(template_, "{", 1, nullptr, nullptr, &text_, &text_)), kInvalidArgument);
}

TEST_F(TokenizerAbiTest, APanicIsAStatus) {
  // The engine's reader of SentencePiece character maps panics on a map that ends early.
  std::string json = kTokenizerJson;
  const std::string none = "\"normalizer\": null";
  json.replace(json.find(none), none.size(), R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"})");
  EXPECT_EQ(Load(json), kInternal);
  EXPECT_FALSE(error_.empty());
  EXPECT_EQ(Load(kTokenizerJson), kOk);  // and the library goes on
}

TEST_F(TokenizerAbiTest, HidesTheEnginesSymbols) {
  std::array<char, 4096> path{};
  ASSERT_GT(readlink("/proc/self/exe", path.data(), path.size() - 1), 0);
  FILE* names = popen((std::string("nm --defined-only ") + path.data()).c_str(), "r");
  ASSERT_NE(names, nullptr);
  bool has_entry = false;
  std::array<char, 4096> line{};
  while (fgets(line.data(), line.size(), names) != nullptr) {
    std::string text(line.data());
    const std::size_t kind = text.find(' ');
    if (kind == std::string::npos || kind + 3 > text.size()) continue;
    const bool global = std::isupper(static_cast<unsigned char>(text[kind + 1])) != 0;
    const std::string name = text.substr(kind + 3);
    has_entry = has_entry || (global && name.rfind("prefscore_tokenizer_load", 0) == 0);
    for (const char* prefix : {"onig", "re_search", "re_match", "re_compile", "rust_"}) {
      EXPECT_FALSE(global && name.rfind(prefix, 0) == 0) << text;
    }
  }
  EXPECT_EQ(pclose(names), 0);
  EXPECT_TRUE(has_entry);
}

}  // namespace
}  // namespace prefscore
