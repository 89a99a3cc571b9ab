// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/job_cost.h"

#include <memory>

#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"

namespace prefscore {
namespace {

TEST(JobCostTest, WorkOfAGroupIsWhatItsRowsSee) {
  // Rows: 3 of the prompt, 1 and 3 of the completions, whose last tokens have none.
  const ForwardWork work = WorkOf({.prompt = {1, 2, 3}, .completions = {{4, 5}, {6, 7, 8, 9}}});
  EXPECT_EQ(work.num_tokens, 3 + 1 + 3);
  EXPECT_EQ(work.num_attended_positions, (1 + 2 + 3) + 4 + (4 + 5 + 6));
  EXPECT_EQ(work.num_head_rows, 1 + 1 + 3) << "the prompt's last row serves both completions";
}

TEST(JobCostTest, EqualGroupsUnderTheSameWeightsCountOnce) {
  const auto lm = std::make_shared<testing::FakeModel>("p");
  const auto other = std::make_shared<testing::FakeModel>("r");
  const HostedModel policy{.name = "policy", .lm = lm, .tokenizer = nullptr};
  const HostedModel twin{.name = "twin", .lm = lm, .tokenizer = nullptr};
  const HostedModel reference{.name = "reference", .lm = other, .tokenizer = nullptr};
  const auto group = std::make_shared<const PromptGroup>(PromptGroup{{1, 2}, {{3}, {4}}});
  GroupJob job;
  for (const HostedModel* model : {&policy, &twin, &reference}) {
    job.forwards.push_back({.model = model, .group = group, .scores = {}});
  }
  SetCost(job);
  ASSERT_EQ(job.work.size(), 2u);
  EXPECT_EQ(job.work[0].model, lm.get());
  EXPECT_EQ(job.work[1].model, other.get());
  EXPECT_EQ(job.num_batch_bytes, 2 * kBatchBytesPerRow + 1 * kBatchBytesPerHeadRow) << "one model at a time";
  EXPECT_EQ(job.num_tokens, 3 * 4);
  EXPECT_EQ(job.num_queued_bytes, kQueuedBytesPerGroup + 4 * 4 + 3 * 1 * 8) << "ids once, and room for three scores";
}

TEST(JobCostTest, SizeOfContent) {
  const ContentSize text = SizeOf(TextGroup{.prompt = "abc", .completions = {"de", "f"}, .tools_json = "[]"});
  EXPECT_EQ(text.num_text_bytes, 6);
  EXPECT_EQ(text.num_bytes, 6 + 2 + kQueuedBytesPerGroup);
  EXPECT_EQ(text.num_ids, 0);
  const ContentSize ids = SizeOf(PromptGroup{{1, 2}, {{3}}});
  EXPECT_EQ(ids.num_ids, 3);
  EXPECT_EQ(ids.num_bytes, 3 * 4 + kQueuedBytesPerGroup);
  EXPECT_EQ(SizeOf(GroupContent()).num_text_bytes, 0);
}

}  // namespace
}  // namespace prefscore
