// SPDX-License-Identifier: Apache-2.0
// The cases that need no Python to know the answer; test_trl_ids.py compares with TRL itself.
#include "server/tokenizer/trl_profile.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/field_error.h"
#include "tests/tokenizer/model_folder.h"

namespace prefscore {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

absl::StatusOr<TokenizedGroup> Tokenize(const Tokenizer& tokenizer, const TextGroup& group) {
  return TokenizeLikeTrl(tokenizer, group, {"first", "second", "third"});
}

class TrlProfileTest : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> Load() { return Tokenizer::Load(folder_.path()).value(); }
  ModelFolder folder_;
};

TEST_F(TrlProfileTest, AppendsEosTextOnce) {
  const auto group = Tokenize(*Load(), {.prompt = "ab", .completions = {"cd", "d</s>", ""}});
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_THAT(group->prompt, ElementsAre(0, 7));
  EXPECT_THAT(group->completions, ElementsAre(ElementsAre(9, 1), ElementsAre(5, 1), ElementsAre(1)));
  EXPECT_THAT(group->boundary_merged, ElementsAre(false, false, false));
  EXPECT_EQ(group->num_unshared_prompt_tokens, 0);
}

TEST_F(TrlProfileTest, AMergeMovesThePromptsTailIntoEveryCompletion) {
  const auto tokenizer = Load();
  const auto group = Tokenize(*tokenizer, {.prompt = "da", .completions = {"b", "d"}});
  EXPECT_THAT(group->prompt, ElementsAre(0, 5));
  EXPECT_THAT(group->completions, ElementsAre(ElementsAre(7, 1), ElementsAre(2, 5, 1)));
  EXPECT_THAT(group->boundary_merged, ElementsAre(true, false));
  EXPECT_EQ(group->num_unshared_prompt_tokens, 1);
  const auto alone = Tokenize(*tokenizer, {.prompt = "da", .completions = {"d"}});
  EXPECT_THAT(alone->prompt, ElementsAre(0, 5, 2));
  EXPECT_THAT(alone->completions, ElementsAre(ElementsAre(5, 1)));
}

TEST_F(TrlProfileTest, FindsTheImplicitPromptAsTrlDoes) {
  const auto tokenizer = Load();
  const auto prompt_of = [&](const std::string& chosen, const std::string& rejected) {
    return Tokenize(*tokenizer, {.completions = {chosen, rejected}})->prompt;
  };
  EXPECT_THAT(prompt_of("d ab", "d cd"), ElementsAre(0, 5));  // the space goes to the completions
  EXPECT_THAT(prompt_of("dd", "ddd"), ElementsAre(0, 5));     // one begins the other: one letter less
  EXPECT_THAT(prompt_of("a", "c"), ElementsAre(0));
  EXPECT_THAT(prompt_of("dd ", "c"), ElementsAre(0, 5, 5));   // differs at once, chosen ends in a space
  EXPECT_FALSE(Tokenize(*tokenizer, {.completions = {"", "a"}}).ok());
  EXPECT_FALSE(Tokenize(*tokenizer, {.completions = {"a", "b", "c"}}).ok());
}

TEST_F(TrlProfileTest, ConversationsGoThroughTheTemplateWithoutSpecialTokens) {
  folder_.Write("chat_template.jinja",
                "{% for m in messages %}{{ m.content }}{{ x }}{% endfor %}{% if tools %}a{% endif %}"
                "{% if add_generation_prompt %}d{% endif %}");
  TextGroup group = {.prompt = ConversationJson{R"([{"role": "user", "content": "c"}])"},
                     .completions = {ConversationJson{R"([{"role": "assistant", "content": "d"}])"},
                                     ConversationJson{R"([{"role": "assistant", "content": " "}])"}}};
  auto result = Tokenize(*Load(), group);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->prompt, IsEmpty());  // "cd" is one token; with the other completion, "c " are two
  EXPECT_THAT(result->completions, ElementsAre(ElementsAre(9), ElementsAre(4, 6)));
  EXPECT_THAT(result->boundary_merged, ElementsAre(false, true));
  group.chat_template_kwargs_json = R"({"x": " "})";
  group.tools_json = R"("[{\"type\": \"function\"}]")";
  result = Tokenize(*Load(), group);
  EXPECT_THAT(result->prompt, ElementsAre(4, 6));
  EXPECT_THAT(result->completions, ElementsAre(ElementsAre(5, 6, 2), ElementsAre(6, 6, 2)));
}

TEST_F(TrlProfileTest, RefusesWhatTrlCannotTokenize) {
  folder_.Write("chat_template.jinja", "{{ messages[0].content }}");
  const auto tokenizer = Load();
  const ConversationJson conversation{R"([{"role": "user", "content": "a"}])"};
  for (const TextGroup& group : {
           TextGroup{.prompt = "a", .completions = {}},
           TextGroup{.prompt = "a", .completions = {conversation, conversation}},
           TextGroup{.prompt = conversation, .completions = {"a", conversation}},
           TextGroup{.prompt = ConversationJson{"[]"}, .completions = {conversation, conversation}},
           TextGroup{.prompt = ConversationJson{"{"}, .completions = {conversation, conversation}},
           TextGroup{.prompt = ConversationJson{R"([{"content": "a"}])"}, .completions = {conversation, conversation}},
           TextGroup{.prompt = conversation, .completions = {conversation}, .tools_json = "\"no JSON\""},
           TextGroup{.prompt = "a\xff", .completions = {"a", "b"}},
       }) {
    EXPECT_EQ(Tokenize(*tokenizer, group).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(TrlProfileTest, WhatIsAtFaultIsNamed) {
  folder_.Write("chat_template.jinja",
                "{% for m in messages %}{% if m.content == 'bad' %}{{ raise_exception('no') }}{% endif %}{% endfor %}a");
  const auto tokenizer = Load();
  const auto says = [](const std::string& content) {
    return ConversationJson{R"([{"role": "user", "content": ")" + content + "\"}]"};
  };
  const auto field_of = [&](const TextGroup& group) { return FieldOf(Tokenize(*tokenizer, group).status()); };
  EXPECT_EQ(field_of({.prompt = "a\xff", .completions = {"a", "b"}}), "prompt");
  EXPECT_EQ(field_of({.prompt = "a", .completions = {"a", "b\xff"}}), "second");
  EXPECT_EQ(field_of({.prompt = says("a"), .completions = {says("a"), ConversationJson{"[]"}}}), "second");
  EXPECT_EQ(field_of({.prompt = says("a"), .completions = {ConversationJson{"{"}, says("a")}}), "first");
  EXPECT_EQ(field_of({.prompt = says("bad"), .completions = {says("a"), says("b")}}), "prompt");
  EXPECT_EQ(field_of({.prompt = says("a"), .completions = {says("a"), says("bad")}}), "second");
}

TEST_F(TrlProfileTest, TextNeedsAnEosToken) {
  folder_.Write("tokenizer_config.json", "{}");
  const absl::Status status = Tokenize(*Load(), {.prompt = "a", .completions = {"b"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("eos_token"));
}

}  // namespace
}  // namespace prefscore
