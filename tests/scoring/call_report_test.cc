// SPDX-License-Identifier: Apache-2.0
// What the scorer tells of a call's time and tokens.
#include "server/scoring/call_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "server/cache/log_prob_cache.h"
#include "server/scoring/scorer.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

absl::Duration SumOf(const CallReport& report) {
  absl::Duration sum = report.tokenize + report.cache_lookup + report.queue;
  for (const ModelTime& time : report.forwards) sum += time.duration;
  return sum;
}

class CallReportTest : public ::testing::Test {
 protected:
  void Start(ScorerOptions options = {}) { scorer_.emplace(std::move(options), ScorerObserver{}); }

  PairOptions Options() {
    PairOptions options;
    options.policy = &policy_;
    options.reference = &reference_;
    options.objectives = {*Objective::Create({.name = "sigmoid"})};
    return options;
  }

  static PairRequest Pair(TokenIds prompt, TokenIds chosen, TokenIds rejected) {
    return {.content = PromptGroup{std::move(prompt), {std::move(chosen), std::move(rejected)}}, .known = {}};
  }

  // Also checks what holds for every call: the parts are no more than the whole.
  CallReport Score(std::vector<PairRequest> pairs, const PairOptions& options, Call call = {}) {
    CallReport report;
    absl::Notification done;
    const auto start = CallClock::Clock::now();
    absl::Duration total;
    scorer_->ScorePairs(std::move(pairs), options, std::move(call), [&](absl::Status, PairOutcomes outcomes) {
      total = absl::FromChrono(CallClock::Clock::now() - start);
      report = std::move(outcomes.report);
      done.Notify();
    });
    done.WaitForNotification();
    EXPECT_LE(SumOf(report), total);
    EXPECT_GE(report.tokenize, absl::ZeroDuration());
    EXPECT_GE(report.cache_lookup, absl::ZeroDuration());
    EXPECT_GE(report.queue, absl::ZeroDuration());
    return report;
  }

  std::shared_ptr<testing::FakeModel> policy_lm_ = std::make_shared<testing::FakeModel>("p");
  std::shared_ptr<testing::FakeModel> reference_lm_ = std::make_shared<testing::FakeModel>("r");
  HostedModel policy_{.name = "policy", .lm = policy_lm_, .tokenizer = nullptr};
  HostedModel reference_{.name = "reference", .lm = reference_lm_, .tokenizer = nullptr};
  std::optional<Scorer> scorer_;
};

TEST_F(CallReportTest, EachModelHasTheTimeOfItsPasses) {
  Start();
  const CallReport report = Score({Pair({1}, {2}, {3, 4}), Pair({5}, {6}, {7})}, Options());
  ASSERT_THAT(report.forwards, SizeIs(2));
  EXPECT_EQ(report.forwards[0].model, &policy_);
  EXPECT_EQ(report.forwards[1].model, &reference_);
  EXPECT_EQ(report.num_tokens, 2 * (4 + 3));
  EXPECT_EQ(report.num_cached_tokens, 0);
}

TEST_F(CallReportTest, APassCountsOnceHoweverManyPairsItComputed) {
  Start();
  std::vector<PairRequest> pairs;
  for (TokenId id = 0; id < 100; ++id) pairs.push_back(Pair({1, 2, 3}, {id}, {id, 7}));
  absl::Notification gate;
  policy_lm_->BlockOn(&gate);
  std::thread opener([&] {
    absl::SleepFor(absl::Milliseconds(50));
    gate.Notify();
  });
  const CallReport report = Score(std::move(pairs), Options());  // counted for each pair, the sum would exceed the total
  opener.join();
  EXPECT_EQ(policy_lm_->num_forwards(), 1);
  ASSERT_THAT(report.forwards, SizeIs(2));
  EXPECT_GT(report.forwards[0].duration, report.forwards[1].duration);
}

TEST_F(CallReportTest, WaitingForTheDeviceIsQueueing) {
  Start();
  absl::Notification gate;
  auto busy_lm = std::make_shared<testing::FakeModel>("busy");
  busy_lm->BlockOn(&gate);
  const HostedModel busy{.name = "busy", .lm = busy_lm, .tokenizer = nullptr};
  PairOptions busy_options = Options();
  busy_options.policy = &busy;
  absl::Notification busy_done;
  scorer_->ScorePairs({Pair({1}, {2}, {3})}, busy_options, {}, [&](absl::Status, PairOutcomes) { busy_done.Notify(); });
  while (busy_lm->num_forwards() == 0) absl::SleepFor(absl::Milliseconds(1));
  constexpr absl::Duration kWait = absl::Milliseconds(50);
  std::thread opener([&] {
    absl::SleepFor(2 * kWait);
    gate.Notify();
  });
  const CallReport report = Score({Pair({1}, {2}, {3})}, Options());
  opener.join();
  busy_done.WaitForNotification();
  EXPECT_GE(report.queue, kWait);
}

TEST_F(CallReportTest, ModelsOfEqualWeightsAreToldUnderTheFirst) {
  Start();
  HostedModel twin = policy_;
  twin.name = "twin";
  PairOptions options = Options();
  options.reference = &twin;
  const CallReport report = Score({Pair({1}, {2}, {3})}, options);
  ASSERT_THAT(report.forwards, SizeIs(1));
  EXPECT_EQ(report.forwards[0].model, &policy_);
}

TEST_F(CallReportTest, WhatIsKnownHasNoPasses) {
  Start();
  PairRequest pair;
  pair.known = {{{-1.0, -2.0}, {-3.0, -4.0}}};
  const CallReport report = Score({pair}, Options());
  EXPECT_THAT(report.forwards, IsEmpty());
  EXPECT_EQ(report.num_tokens, 0);
}

TEST_F(CallReportTest, WhatIsCachedIsCountedAndHasNoPasses) {
  const testing::TempFolder folder;
  LogProbCache cache({.folder = folder.path().string()}, {});
  ScorerOptions options;
  options.cache = &cache;
  Start(std::move(options));
  PairOptions pair_options = Options();
  pair_options.cache_policy = true;
  const CallReport first = Score({Pair({1}, {2}, {3})}, pair_options);
  EXPECT_THAT(first.forwards, SizeIs(2));
  EXPECT_EQ(first.num_cached_tokens, 0);
  const CallReport second = Score({Pair({1}, {2}, {3})}, pair_options);
  EXPECT_THAT(second.forwards, IsEmpty());
  EXPECT_EQ(second.num_tokens, 2 * 3);
  EXPECT_EQ(second.num_cached_tokens, 2 * 3);
}

TEST_F(CallReportTest, ACallThatIsRefusedHasAReport) {
  Start();
  const CallReport report = Score({Pair({1}, {2}, {3})}, Options(), {.deadline = absl::InfinitePast()});
  EXPECT_THAT(report.forwards, IsEmpty());
  EXPECT_EQ(report.tokenize, absl::ZeroDuration());
}

}  // namespace
}  // namespace prefscore
