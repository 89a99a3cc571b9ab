// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/pass_runner.h"

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/error_reason.h"
#include "tests/testing/fake_model.h"

namespace prefscore {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;

// A model whose memory does for `max_tokens_` a pass.
class PassRunnerTest : public ::testing::Test {
 protected:
  PassRunnerTest() {
    lm_->CheckWith([this](std::span<const PromptGroup* const> groups) {
      std::int64_t num_tokens = 0;
      for (const PromptGroup* group : groups) num_tokens += group->num_tokens();
      passes_.push_back(num_tokens);
      return num_tokens > max_tokens_ ? absl::ResourceExhaustedError("no memory left") : absl::OkStatus();
    });
  }

  absl::StatusOr<GroupScores> Run(const std::vector<PromptGroup>& groups) {
    std::vector<const PromptGroup*> pointers;
    for (const PromptGroup& group : groups) pointers.push_back(&group);
    passes_.clear();
    was_split_ = false;
    return runner_.Run(model_, pointers, was_split_);
  }

  // [groups][completions]
  static std::vector<std::vector<double>> LogpsOf(const GroupScores& scores) {
    std::vector<std::vector<double>> logps;
    for (const auto& group : scores) {
      auto& row = logps.emplace_back();
      for (const CompletionScore& score : group) row.push_back(score.logp);
    }
    return logps;
  }

  // Groups of 4, 5, 6, ... tokens whose completions all differ.
  static std::vector<PromptGroup> Groups(TokenId count) {
    std::vector<PromptGroup> groups;
    for (TokenId id = 0; id < count; ++id) {
      groups.push_back({.prompt = {1}, .completions = {TokenIds(id + 1, id), {id + 100}, {id + 200}}});
    }
    return groups;
  }

  std::int64_t max_tokens_ = 1000;
  std::vector<std::int64_t> passes_;  // tokens of each that was tried
  bool was_split_ = false;
  int num_out_of_memory_ = 0;
  absl::Time now_ = absl::UnixEpoch();
  const std::shared_ptr<testing::FakeModel> lm_ = std::make_shared<testing::FakeModel>("p");
  const HostedModel model_{.name = "policy", .lm = lm_, .tokenizer = nullptr};
  PassRunner runner_{{.on_out_of_memory = [this](auto&, auto) { ++num_out_of_memory_; },
                      .memory_of_limit = absl::Seconds(60),
                      .now = [this] { return now_; }}};
};

TEST_F(PassRunnerTest, WhatFitsIsOnePass) {
  ASSERT_TRUE(Run(Groups(7)).ok());
  EXPECT_THAT(passes_, ElementsAre(4 + 5 + 6 + 7 + 8 + 9 + 10));
  EXPECT_FALSE(was_split_);
  EXPECT_EQ(num_out_of_memory_, 0);
}

TEST_F(PassRunnerTest, WhatDoesNotFitIsHalvedAndGivesTheSameScores) {
  const auto expected = LogpsOf(*Run(Groups(7)));
  for (std::int64_t max_tokens = 8; max_tokens < 50; ++max_tokens) {  // the last group has 7 + 1 in its largest part
    now_ += absl::Minutes(2);
    max_tokens_ = max_tokens;
    num_out_of_memory_ = 0;
    const auto scores = Run(Groups(7));
    ASSERT_TRUE(scores.ok()) << scores.status();
    EXPECT_EQ(LogpsOf(*scores), expected) << max_tokens;
    EXPECT_EQ(was_split_, max_tokens < 49);
    EXPECT_EQ(num_out_of_memory_ > 0, max_tokens < 49);
  }
}

TEST_F(PassRunnerTest, ACompletionThatDoesNotFitAloneIsNamed) {
  max_tokens_ = 8;
  const auto scores = Run({{.prompt = {1, 2, 3}, .completions = {{4}, {5, 6, 7, 8, 9, 10}}}});
  EXPECT_EQ(scores.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(scores.status()), kOutOfMemoryReason);
  EXPECT_THAT(std::string(scores.status().message()),
              AllOf(HasSubstr("a prompt of 3 tokens with a completion of 6"), HasSubstr("model 'policy'"),
                    HasSubstr("no memory left")));
  EXPECT_THAT(passes_, ElementsAre(10, 4, 9));
}

TEST_F(PassRunnerTest, WhatFittedIsRememberedForAWhile) {
  max_tokens_ = 25;
  ASSERT_TRUE(Run(Groups(7)).ok());
  EXPECT_EQ(num_out_of_memory_, 2) << "49, 34 tokens";
  ASSERT_TRUE(Run(Groups(7)).ok());
  EXPECT_EQ(num_out_of_memory_, 2) << "none is tried that is larger than what fitted";
  EXPECT_THAT(passes_, Each(Le(25)));
  EXPECT_TRUE(was_split_);
  max_tokens_ = 1000;
  now_ += absl::Seconds(59);
  ASSERT_TRUE(Run(Groups(7)).ok());
  EXPECT_GT(passes_.size(), 1u);
  now_ += absl::Seconds(1);
  ASSERT_TRUE(Run(Groups(7)).ok());
  EXPECT_EQ(passes_.size(), 1u) << "tried again";
  EXPECT_FALSE(was_split_);
}

TEST_F(PassRunnerTest, AnExceptionIsAStatus) {
  lm_->CheckWith([](auto) -> absl::Status { throw std::runtime_error("the kernel does not exist"); });
  const absl::Status status = Run(Groups(2)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the forward pass of model 'policy' failed: the kernel does not exist"));
  lm_->CheckWith([](auto) -> absl::Status { throw 7; });
  EXPECT_EQ(Run(Groups(2)).status().code(), absl::StatusCode::kInternal);
  lm_->CheckWith([](auto) -> absl::Status { throw std::bad_alloc(); });
  EXPECT_EQ(Run(Groups(2)).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace prefscore
