// SPDX-License-Identifier: Apache-2.0
#include "server/models/packed_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace prefscore {
namespace {

using ::testing::ElementsAre;

std::vector<std::int64_t> FirstRows(const PackedBatch& batch) {
  std::vector<std::int64_t> rows;
  for (const Segment& segment : batch.segments) rows.push_back(segment.first_row);
  return rows;
}

std::vector<kernels::TargetScore> Scores(const std::vector<double>& log_probs) {
  std::vector<kernels::TargetScore> scores;
  for (const double log_prob : log_probs) scores.push_back({.log_prob = log_prob, .is_argmax = true});
  return scores;
}

// [completions][tokens]
std::vector<std::vector<double>> Logps(const GroupTokenLogProbs& completions) {
  std::vector<std::vector<double>> logps;
  for (const CompletionLogProbs& completion : completions) logps.push_back(completion.token_logps);
  return logps;
}

TEST(PackedBatchTest, SharesThePromptAndDropsLastTokens) {
  const PromptGroup first{{1, 2, 3}, {{4, 5, 6}, {7}, {8, 9}}}, second{{10}, {{11}}};
  const std::vector<const PromptGroup*> groups = {&first, &second};
  const PackedBatch batch = PackGroups(groups, {});
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 3, 4, 5, 8, 10));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 4, 3, 0));
  EXPECT_THAT(FirstRows(batch), ElementsAre(0, 3, 5, 6));
  EXPECT_EQ(batch.segments[2].prompt_segment, 0);
  EXPECT_EQ(batch.segments[3].prompt_segment, -1);
  EXPECT_EQ(batch.num_positions, 5);
  // Rows 0 and 1 predict tokens of the prompt.
  EXPECT_THAT(batch.head_rows, ElementsAre(2, 3, 4, 5, 6));
  std::vector<std::pair<std::int64_t, TokenId>> targets;
  for (const HeadTarget& target : batch.targets) targets.emplace_back(batch.head_rows[target.head_row], target.token);
  EXPECT_THAT(targets, ElementsAre(std::pair(2, 4), std::pair(3, 5), std::pair(4, 6),  // first completion
                                   std::pair(2, 7),                                    // second
                                   std::pair(2, 8), std::pair(5, 9),                   // third
                                   std::pair(6, 11)));
  const auto results = UnpackTargets(batch, groups, Scores({-1, -2, -3, -4, -5, -6, -7}));
  ASSERT_EQ(results.size(), 2u);
  EXPECT_THAT(Logps(results[0]), ElementsAre(ElementsAre(-1, -2, -3), ElementsAre(-4), ElementsAre(-5, -6)));
  EXPECT_THAT(Logps(results[1]), ElementsAre(ElementsAre(-7)));
}

TEST(PackedBatchTest, AGreedyMatchIsOneOfEveryToken) {
  const PromptGroup first{{1, 2, 3}, {{4, 5, 6}, {7}, {8, 9}}}, second{{10}, {{11}}};
  const std::vector<const PromptGroup*> groups = {&first, &second};
  const PackedBatch batch = PackGroups(groups, {});
  std::vector<kernels::TargetScore> scores = Scores({-1, -2, -3, -4, -5, -6, -7});
  const auto matches = [&] {
    std::vector<bool> found;
    for (const GroupTokenLogProbs& completions : UnpackTargets(batch, groups, scores)) {
      for (const CompletionLogProbs& completion : completions) found.push_back(completion.is_greedy_match);
    }
    return found;
  };
  EXPECT_THAT(matches(), ElementsAre(true, true, true, true));
  scores[1].is_argmax = false;  // in the middle of the first completion
  scores[4].is_argmax = false;  // the third one's first token
  EXPECT_THAT(matches(), ElementsAre(false, true, false, true));
  scores[6].is_argmax = false;
  EXPECT_THAT(matches(), ElementsAre(false, true, false, false));
}

TEST(PackedBatchTest, LaysThePromptOutOncePerSetOfFrequencies) {
  RopeConfig rope;
  rope.kind = RopeConfig::Kind::kDynamic;
  rope.original_max_positions = 4;
  // Lengths 4 and 3 do not stretch, 5 and 6 do, each in its own way.
  const PromptGroup group{{1, 2}, {{3, 4}, {5, 6, 7}, {8}, {9, 9, 9, 9}, {6, 6, 6}}};
  const std::vector<const PromptGroup*> groups = {&group};
  const PackedBatch batch = PackGroups(groups, std::span(&rope, 1));
  EXPECT_THAT(batch.rope_lengths, ElementsAre(4, 5, 6));
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 3, 1, 2, 5, 6, 6, 6, 1, 2, 9, 9, 9));
  EXPECT_EQ(batch.segments.back().rope_variant, 2);
  std::vector<double> tokens;
  for (const HeadTarget& target : batch.targets) tokens.push_back(target.token);
  EXPECT_THAT(Logps(UnpackTargets(batch, groups, Scores(tokens))[0]),
              ElementsAre(ElementsAre(3, 4), ElementsAre(5, 6, 7), ElementsAre(8), ElementsAre(9, 9, 9, 9),
                          ElementsAre(6, 6, 6)));
}

}  // namespace
}  // namespace prefscore
