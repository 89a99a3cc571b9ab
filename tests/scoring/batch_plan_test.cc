// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/batch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/scoring/completion_scores.h"
#include "tests/testing/fake_model.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;

class BatchPlanTest : public ::testing::Test {
 protected:
  // A forward that wants the log-probs of `completions` after `prompt`.
  static GroupForward Forward(const HostedModel& model, TokenIds prompt, std::vector<TokenIds> completions) {
    return {.model = &model,
            .group = std::make_shared<PromptGroup>(PromptGroup{std::move(prompt), std::move(completions)}),
            .cache_keys = {},
            .scores = {}};
  }

  static std::vector<PlannedForward> Plan(std::vector<GroupForward>& forwards) {
    std::vector<GroupForward*> pointers;
    for (GroupForward& forward : forwards) pointers.push_back(&forward);
    return PlanBatch(pointers);
  }

  static void Run(const std::vector<PlannedForward>& plan) {
    for (const PlannedForward& planned : plan) {
      planned.Distribute(*ScoreCompletions(*planned.model().lm, planned.groups()));
    }
  }

  const HostedModel model_{"m", std::make_shared<testing::FakeModel>("digest", 0.25), nullptr};
  const HostedModel other_{"o", std::make_shared<testing::FakeModel>("other", 0.5), nullptr};
};

TEST_F(BatchPlanTest, WhatIsDistinctStaysAsItIs) {
  std::vector<GroupForward> forwards = {Forward(model_, {1, 2}, {{3}, {4, 5}}), Forward(model_, {1}, {{3}})};
  const auto plan = Plan(forwards);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_THAT(plan[0].groups(), ElementsAre(forwards[0].group.get(), forwards[1].group.get())) << "not copied";
  EXPECT_EQ(plan[0].num_tokens(), 5 + 2);
  EXPECT_EQ(plan[0].num_tokens_asked(), 3 + 4 + 2);
}

TEST_F(BatchPlanTest, EqualContentIsAskedOnceAndReachesAll) {
  std::vector<GroupForward> forwards = {Forward(model_, {1, 2}, {{3}, {4}}), Forward(model_, {1, 2}, {{4}, {6, 7}}),
                                        Forward(model_, {1, 2}, {{3}, {3}}), Forward(model_, {9}, {{3}})};
  const auto plan = Plan(forwards);
  ASSERT_EQ(plan.size(), 1u);
  ASSERT_EQ(plan[0].groups().size(), 2u);
  EXPECT_THAT(plan[0].groups()[0]->completions, ElementsAre(TokenIds{3}, TokenIds{4}, TokenIds{6, 7}));
  EXPECT_EQ(plan[0].num_tokens(), (2 + 1 + 1 + 2) + 2);
  EXPECT_EQ(plan[0].num_tokens_asked(), (3 + 3) + (3 + 4) + (3 + 3) + 2);
  Run(plan);
  for (const GroupForward& forward : forwards) {
    for (std::size_t idx = 0; idx < forward.scores.size(); ++idx) {
      std::vector<double> expected;
      for (const TokenId id : forward.group->completions[idx]) expected.push_back(-0.25 * (id + 1.0));
      EXPECT_EQ(forward.scores[idx].token_logps, expected);
    }
  }
}

TEST_F(BatchPlanTest, TheGreedyMatchReachesAllWhoAsk) {
  std::vector<GroupForward> forwards = {Forward(model_, {1, 2}, {{0}, {4}}), Forward(model_, {1, 2}, {{0, 4}, {0}})};
  Run(Plan(forwards));
  EXPECT_TRUE(forwards[0].scores[0].is_greedy_match);
  EXPECT_FALSE(forwards[0].scores[1].is_greedy_match);
  EXPECT_FALSE(forwards[1].scores[0].is_greedy_match) << "only its first token is";
  EXPECT_TRUE(forwards[1].scores[1].is_greedy_match);
}

TEST_F(BatchPlanTest, OtherWeightsAreAskedOnTheirOwnAndEqualOnesTogether) {
  const HostedModel twin{"twin", std::make_shared<testing::FakeModel>("digest", 0.25), nullptr};
  auto bfloat16 = std::make_shared<testing::FakeModel>("digest", 0.25);
  bfloat16->mutable_info().dtype = "bfloat16";
  const HostedModel other_dtype{"bfloat16", bfloat16, nullptr};
  std::vector<GroupForward> forwards = {Forward(model_, {1}, {{2}}), Forward(other_, {1}, {{2}}),
                                        Forward(twin, {1}, {{2}}), Forward(other_dtype, {1}, {{2}})};
  const auto plan = Plan(forwards);
  ASSERT_EQ(plan.size(), 3u);
  Run(plan);
  EXPECT_EQ(forwards[0].scores[0].logp, -0.75);
  EXPECT_EQ(forwards[1].scores[0].logp, -1.5);
  EXPECT_EQ(forwards[2].scores[0].logp, -0.75);
}

TEST_F(BatchPlanTest, OnlyWhatIsMissingIsAsked) {
  std::vector<GroupForward> forwards = {Forward(model_, {1, 2}, {{3}, {4}}), Forward(model_, {1, 2}, {{5}, {4}}),
                                        Forward(other_, {1, 2}, {{3}})};
  forwards[0].scores = {{.logp = -42, .token_logps = {-42}, .is_from_cache = true}, {}};
  forwards[2].scores = {{.logp = -43, .token_logps = {-43}, .is_from_cache = true}};
  const auto plan = Plan(forwards);
  ASSERT_EQ(plan.size(), 1u) << "nothing is asked of the other model";
  EXPECT_THAT(plan[0].groups()[0]->completions, ElementsAre(TokenIds{4}, TokenIds{5}));
  EXPECT_NE(plan[0].groups()[0], forwards[0].group.get()) << "of the same size, but not the same";
  Run(plan);
  EXPECT_EQ(forwards[0].scores[0].logp, -42);
  EXPECT_EQ(forwards[0].scores[1].logp, -1.25);
  EXPECT_FALSE(forwards[0].scores[1].is_from_cache);
  EXPECT_EQ(forwards[1].scores[0].logp, -1.5);
  EXPECT_EQ(forwards[2].scores[0].logp, -43);
}

}  // namespace
}  // namespace prefscore
