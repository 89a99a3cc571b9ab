// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/prepare.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A prompt of 6 tokens 0..5 and completions of 2 and 4.
PromptGroup Group() { return {.prompt = {0, 1, 2, 3, 4, 5}, .completions = {{10, 11}, {20, 21, 22, 23}}}; }

const std::vector<std::string> kNames = {"chosen", "rejected"};

TEST(Truncate, LeavesAloneWhatFits) {
  PromptGroup ids = Group();
  TokenizationNotes notes;
  ASSERT_TRUE(Truncate(ids, 10, TruncationPolicy::kError, kNames, notes).ok());
  EXPECT_EQ(ids.prompt, Group().prompt);
  EXPECT_EQ(ids.completions, Group().completions);
  EXPECT_EQ(notes.num_truncated_prompt_tokens, 0);
  EXPECT_THAT(notes.num_truncated_completion_tokens, ElementsAre(0, 0));
}

TEST(Truncate, IsAnErrorByDefault) {
  PromptGroup ids = Group();
  TokenizationNotes notes;
  const absl::Status status = Truncate(ids, 9, TruncationPolicy::kError, kNames, notes);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "rejected");
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("prompt (6 tokens) and completion (4 tokens) exceed max_length = 9"));
}

TEST(Truncate, KeepStartCutsTheEndOfEachCompletion) {
  PromptGroup ids = Group();
  TokenizationNotes notes;
  ASSERT_TRUE(Truncate(ids, 7, TruncationPolicy::kKeepStart, kNames, notes).ok());
  EXPECT_EQ(ids.prompt, Group().prompt);
  EXPECT_THAT(ids.completions, ElementsAre(ElementsAre(10), ElementsAre(20)));
  EXPECT_THAT(notes.num_truncated_completion_tokens, ElementsAre(1, 3));
}

TEST(Truncate, KeepStartNeedsRoomForACompletionToken) {
  PromptGroup ids = Group();
  TokenizationNotes notes;
  EXPECT_EQ(FieldOf(Truncate(ids, 6, TruncationPolicy::kKeepStart, kNames, notes)), "prompt");
}

TEST(Truncate, KeepPromptEndCutsThePromptAlikeForBothSides) {
  PromptGroup ids = Group();
  TokenizationNotes notes;
  ASSERT_TRUE(Truncate(ids, 7, TruncationPolicy::kKeepPromptEnd, kNames, notes).ok());
  EXPECT_THAT(ids.prompt, ElementsAre(3, 4, 5));
  EXPECT_EQ(ids.completions, Group().completions);
  EXPECT_EQ(notes.num_truncated_prompt_tokens, 3);
}

TEST(Truncate, KeepPromptEndNeedsRoomForAPromptToken) {
  PromptGroup ids = Group();
  TokenizationNotes notes;
  EXPECT_EQ(FieldOf(Truncate(ids, 4, TruncationPolicy::kKeepPromptEnd, kNames, notes)), "rejected");
}

}  // namespace
}  // namespace prefscore
