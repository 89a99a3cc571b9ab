// SPDX-License-Identifier: Apache-2.0
#include "client/cli/pair_rows.h"

#include <string>
#include <vector>

#include "client/cli/completion_rows.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace prefscore::cli {
namespace {

using ::testing::HasSubstr;

// The pair that a good row stands for, against its text format.
void ExpectPair(const std::string& row_text, const std::string& expected_text) {
  SCOPED_TRACE(row_text);
  const PairRow row = ParsePairRow(row_text);
  ASSERT_TRUE(row.fault.ok()) << row.fault;
  v1::PreferencePair expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(expected_text, &expected));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(row.pair, expected)) << row.pair.DebugString();
}

TEST(PairRowsTest, Text) {
  ExpectPair(R"({"id": "a", "prompt": "P", "chosen": "C", "rejected": "", "other": [1, null]})",
             R"(id: "a" prompt { text: "P" } chosen { text: "C" } rejected { text: "" })");
}

TEST(PairRowsTest, NonLatinTextAndEscapes) {
  ExpectPair(R"({"prompt": "日\u672c", "chosen": "\ud83d\ude00\n", "rejected": "e\u0301"})",
             "prompt { text: '日本' } chosen { text: '😀\\n' } rejected { text: 'e\xcc\x81' }");
}

TEST(PairRowsTest, AnIdMayBeAnInteger) {
  ExpectPair(R"({"id": 12345678901234567890, "prompt": "P", "chosen": "C", "rejected": "R"})",
             R"(id: "12345678901234567890" prompt { text: "P" } chosen { text: "C" } rejected { text: "R" })");
}

TEST(PairRowsTest, TokenIds) {
  ExpectPair(
      R"({"prompt": [], "chosen": [1, 4294967295], "rejected": [0]})",
      "prompt { token_ids {} } chosen { token_ids { ids: [1, 4294967295] } } rejected { token_ids { ids: 0 } }");
}

TEST(PairRowsTest, PlainMessagesAreSentByRoleAndContent) {
  ExpectPair(R"({"prompt": [{"role": "user", "content": "Q"}],
                 "chosen": [{"role": "assistant", "content": ""}], "rejected": []})",
             R"(prompt { conversation { messages { role: "user" content: "Q" } } }
                chosen { conversation { messages { role: "assistant" content: "" } } } rejected { conversation {} })");
}

TEST(PairRowsTest, OtherMessagesAreSentAsJsonWithTheirKeyOrder) {
  ExpectPair(
      R"({"chosen": [{"content": "Q", "role": "user"}, {"role": "assistant", "content": null, "tool_calls": [{"z": 1, "a": "é"}]}],
          "rejected": [{"role": "user", "content": [{"type": "text", "text": "x"}]}, {"role": "", "content": "y"}]})",
      R"(chosen { conversation { messages { json: "{\"content\":\"Q\",\"role\":\"user\"}" }
           messages { json: "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"z\":1,\"a\":\"é\"}]}" } } }
         rejected { conversation { messages { json: "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}" }
           messages { json: "{\"role\":\"\",\"content\":\"y\"}" } } })");
}

TEST(PairRowsTest, ImplicitPrompts) {
  const std::string contents = R"(chosen { text: "PC" } rejected { text: "PR" })";
  ExpectPair(R"({"chosen": "PC", "rejected": "PR"})", contents);
  ExpectPair(R"({"prompt": null, "chosen": "PC", "rejected": "PR"})", contents);
}

TEST(PairRowsTest, ATextPromptNextToMessagesIsImpliedByThem) {
  ExpectPair(
      R"({"prompt": "Q", "chosen": [{"role": "user", "content": "Q"}], "rejected": [{"role": "user", "content": "Q"}]})",
      R"(chosen { conversation { messages { role: "user" content: "Q" } } }
                rejected { conversation { messages { role: "user" content: "Q" } } })");
}

TEST(PairRowsTest, ToolsAndTemplateVariablesAsJsonOrItsText) {
  const std::string expected = R"(chosen { text: "C" } rejected { text: "R" } tools_json: "[{\"b\":1,\"a\":2}]"
                                  chat_template_kwargs_json: "{\"x\":true}")";
  ExpectPair(R"({"chosen": "C", "rejected": "R", "tools": [{"b": 1, "a": 2}], "chat_template_kwargs": {"x": true}})",
             expected);
  ExpectPair(
      R"({"chosen": "C", "rejected": "R", "tools": "[{\"b\":1,\"a\":2}]", "chat_template_kwargs": "{\"x\":true}"})",
      expected);
  ExpectPair(R"({"chosen": "C", "rejected": "R", "tools": null})", R"(chosen { text: "C" } rejected { text: "R" })");
}

TEST(PairRowsTest, KnownLogProbs) {
  ExpectPair(R"({"prompt": "P", "chosen": "C", "rejected": "R", "ref_chosen_logps": -1.5, "ref_rejected_logps": -2})",
             R"(prompt { text: "P" } chosen { text: "C" } rejected { text: "R" }
                known { reference_chosen_logp: -1.5 reference_rejected_logp: -2 })");
  ExpectPair(
      R"({"policy_chosen_logp": -1, "policy_rejected_logp": -2, "reference_chosen_logp": -3, "reference_rejected_logp": 0})",
      R"(known { policy_chosen_logp: -1 policy_rejected_logp: -2 reference_chosen_logp: -3 reference_rejected_logp: 0 })");
}

TEST(PairRowsTest, EachFaultNamesItsField) {
  const std::vector<std::pair<std::string, std::string>> faults = {
      {R"({"prompt": "P", "chosen": "C", "rejected": "R")", "not valid JSON: column"},
      {"{\"prompt\": \"\xff\"}", "not valid JSON"},
      {R"({"prompt": "\ud800"})", "not valid JSON"},
      {R"(["P", "C", "R"])", "not a JSON object but array"},
      {R"({"prompt": "P", "chosen": "C"})",
       "rejected: must be a string, a list of messages or a list of token ids, but is absent"},
      {R"({"prompt": "P", "rejected": "R"})", "chosen: must be"},
      {R"({"prompt": "P", "chosen": 3, "rejected": "R"})",
       "chosen: must be a string, a list of messages or a list of token ids, but is number"},
      {R"({"prompt": "P", "chosen": ["x"], "rejected": ["y"]})",
       "chosen: must be a string, a list of messages or a list of token ids, but is a list of string"},
      {R"({"prompt": "P", "chosen": "C", "rejected": [1]})", "rejected: is a list of token ids, but chosen is text"},
      {R"({"prompt": [1], "chosen": "C", "rejected": "R"})", "prompt: is a list of token ids, but chosen is text"},
      {R"({"prompt": "P", "chosen": [1], "rejected": [2]})", "prompt: is text, but chosen is a list of token ids"},
      {R"({"chosen": [1], "rejected": [2]})", "prompt: is absent; it is required with token ids"},
      {R"({"prompt": [1], "chosen": [1, -2], "rejected": [2]})",
       "chosen[1]: must be a token id like those before it, not -2"},
      {R"({"prompt": [1], "chosen": [4294967296], "rejected": [2]})", "chosen[0]: must be a token id"},
      {R"({"prompt": [1], "chosen": [1.0], "rejected": [2]})", "chosen: must be"},
      {R"({"prompt": [1], "chosen": [1], "rejected": [2, "x"]})", "rejected[1]: must be a token id"},
      {R"({"chosen": [{"role": "user", "content": "x"}, "y"], "rejected": []})",
       "chosen[1]: must be a message object like those before it, not string"},
      {R"({"id": ["x"], "chosen": "C", "rejected": "R"})", "id: must be a string or an integer, but is array"},
      {R"({"chosen": "C", "rejected": "R", "reference_chosen_logp": "-1"})",
       "reference_chosen_logp: must be a number, but is string"},
      {R"({"chosen": "C", "rejected": "R", "reference_chosen_logp": -1, "ref_chosen_logps": -1})",
       "reference_chosen_logp: is given twice"},
  };
  for (const auto& [text, message] : faults) {
    const PairRow row = ParsePairRow(text);
    EXPECT_TRUE(absl::IsInvalidArgument(row.fault)) << text;
    EXPECT_THAT(std::string(row.fault.message()), HasSubstr(message)) << text;
  }
}

TEST(PairRowsTest, AFaultyRowKeepsItsId) {
  EXPECT_EQ(ParsePairRow(R"({"id": "a", "chosen": 3, "rejected": "R"})").pair.id(), "a");
}

TEST(PairRowsTest, DeepNestingIsAFaultNotACrash) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  const PairRow row = ParsePairRow(R"({"chosen": "C", "rejected": "R", "tools": )" + deep + "}");
  EXPECT_THAT(std::string(row.fault.message()), HasSubstr("nested"));
}

TEST(CompletionRowsTest, PromptAndCompletions) {
  const CompletionRow row = ParseCompletionRow(R"({"id": 7, "prompt": [1], "completions": [[2], [], [3, 4]]})");
  ASSERT_TRUE(row.fault.ok()) << row.fault;
  EXPECT_EQ(row.prompt.id(), "7");
  ASSERT_EQ(row.prompt.completions_size(), 3);
  EXPECT_TRUE(row.prompt.completions(1).has_token_ids());
  EXPECT_EQ(row.prompt.completions(2).token_ids().ids(1), 4);
}

TEST(CompletionRowsTest, EachFaultNamesItsField) {
  const std::vector<std::pair<std::string, std::string>> faults = {
      {R"({"completions": ["x"]})", "prompt: must be"},
      {R"({"prompt": "x"})", "completions: must be a list of at least one completion"},
      {R"({"prompt": "x", "completions": []})", "completions: must be a list of at least one completion"},
      {R"({"prompt": "x", "completions": ["y", [1]]})", "completions[1]: is a list of token ids"},
  };
  for (const auto& [text, message] : faults) {
    EXPECT_THAT(std::string(ParseCompletionRow(text).fault.message()), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace prefscore::cli
