// SPDX-License-Identifier: Apache-2.0
#include "server/access/quota.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "server/util/error_reason.h"
#include "server/util/retry_delay.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class QuotaTest : public ::testing::Test {
 protected:
  std::shared_ptr<Quota> MakeQuota(const QuotaLimits& limits) {
    AccessObserver observer;
    observer.on_charged = [this](const std::string& token, std::int64_t num_tokens) {
      EXPECT_EQ(token, "trainer");
      charged_.push_back(num_tokens);
    };
    observer.on_over_quota = [this](const std::string&, QuotaRefusal reason) { refused_.push_back(reason); };
    return std::make_shared<Quota>("trainer", limits, observer, [this] { return now_; });
  }

  // Takes and gives back at once: as if computing took no time. Returns the delay of a refusal, else zero.
  absl::Duration Spend(Quota& quota, std::int64_t num_tokens) {
    const auto charge = quota.Take(num_tokens);
    if (charge.ok()) return absl::ZeroDuration();
    EXPECT_EQ(charge.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReasonOf(charge.status()), "OVER_QUOTA");
    return RetryDelayOf(charge.status()).value();
  }

  // A message of a stream. Whether its turn came at once; in any case its number is in turns_ once it came.
  bool EnterLine(Quota& quota, std::int64_t num_tokens, std::int64_t num_bytes = 1) {
    const int number = num_messages_++;
    const absl::Status status = quota.TakeInTurn({.num_tokens = num_tokens,
                                                  .num_bytes = num_bytes,
                                                  .is_over = [this, number] { return over_.contains(number); },
                                                  .on_its_turn = [this, number](QuotaCharge charge) {
                                                    turns_.push_back(number);
                                                    charges_[number] = std::move(charge);
                                                  }});
    EXPECT_TRUE(status.ok()) << status;
    return charges_.contains(number);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  std::vector<std::int64_t> charged_;
  std::vector<QuotaRefusal> refused_;
  int num_messages_ = 0;
  std::set<int> over_;  // messages whose stream has ended
  std::vector<int> turns_;
  std::map<int, QuotaCharge> charges_;
};

TEST_F(QuotaTest, WithoutLimitsAllIsLetInAndCounted) {
  const auto quota = MakeQuota({});
  for (int call = 0; call < 100; ++call) EXPECT_EQ(Spend(*quota, 1'000'000'000), absl::ZeroDuration());
  EXPECT_EQ(quota->Pause(), absl::ZeroDuration());
  EXPECT_EQ(charged_.size(), 100);
  EXPECT_EQ(charged_.front(), 1'000'000'000);
}

TEST_F(QuotaTest, TheRateHoldsOverTheLongRun) {
  const auto quota = MakeQuota({.tokens_per_second = 100, .burst_tokens = 500});
  std::int64_t spent = 0;
  for (int step = 0; step < 1000; ++step) {  // asks ten times as fast as it may
    if (Spend(*quota, 70) == absl::ZeroDuration()) spent += 70;
    now_ += absl::Milliseconds(70);
  }
  EXPECT_GE(spent, 100 * 70);
  EXPECT_LE(spent, 100 * 70 + 500 + 70) << "the rate, the burst, and what the last call overdraws";
}

TEST_F(QuotaTest, WorkLargerThanTheBurstIsPaidBackBeforeTheNext) {
  const auto quota = MakeQuota({.tokens_per_second = 100, .burst_tokens = 500});
  EXPECT_EQ(Spend(*quota, 1500), absl::ZeroDuration());
  const absl::Duration delay = Spend(*quota, 1);
  EXPECT_GE(delay, absl::Seconds(10));
  EXPECT_LE(delay, absl::Seconds(10.1));
  now_ += absl::Seconds(9.9);
  EXPECT_GT(Spend(*quota, 1), absl::ZeroDuration());
  EXPECT_EQ(refused_, std::vector<QuotaRefusal>(2, QuotaRefusal::kTokensPerSecond));
}

TEST_F(QuotaTest, WhoComesAsToldIsLetIn) {
  const auto quota = MakeQuota({.tokens_per_second = 100, .burst_tokens = 100});
  EXPECT_EQ(Spend(*quota, 300), absl::ZeroDuration());
  std::vector<absl::Time> due;
  for (int caller = 0; caller < 20; ++caller) due.push_back(now_ + Spend(*quota, 50 + caller));
  for (int caller = 0; caller < 20; ++caller) {
    if (caller > 0) EXPECT_GT(due[caller], due[caller - 1]) << "each behind those who were told before";
    now_ = due[caller];
    EXPECT_EQ(Spend(*quota, 50 + caller), absl::ZeroDuration()) << caller;
  }
}

TEST_F(QuotaTest, PromisesEndAfterFiveMinutes) {
  const auto quota = MakeQuota({.tokens_per_second = 1, .burst_tokens = 1});
  EXPECT_EQ(Spend(*quota, 2), absl::ZeroDuration());
  Spend(*quota, 1'000'000);
  EXPECT_LE(Spend(*quota, 1), absl::Minutes(5));
}

TEST_F(QuotaTest, TheMessageNamesTokenQuotaAndWhatWasAsked) {
  const auto quota = MakeQuota({.tokens_per_second = 100, .burst_tokens = 500});
  EXPECT_EQ(Spend(*quota, 501), absl::ZeroDuration());
  const auto refused = quota->Take(77);
  EXPECT_EQ(std::string(refused.status().message()),
            "the token 'trainer' is over its quota tokens_per_second = 100: calls before used up its burst_tokens = "
            "500; this call needs about 77 tokens");
}

TEST_F(QuotaTest, TokensAtOnceAreLimited) {
  const auto quota = MakeQuota({.concurrent_tokens = 100});
  auto first = quota->Take(1000);
  ASSERT_TRUE(first.ok()) << "who holds nothing is let in with any one call";
  const auto refused = quota->Take(1);
  EXPECT_EQ(std::string(refused.status().message()),
            "the token 'trainer' is over its quota concurrent_tokens = 100: calls that are not yet answered hold 1000; "
            "this call needs about 1 tokens");
  EXPECT_EQ(RetryDelayOf(refused.status()), Quota::kConcurrencyDelay);
  EXPECT_EQ(quota->Pause(), Quota::kConcurrencyDelay);
  *first = QuotaCharge();
  EXPECT_EQ(quota->Pause(), absl::ZeroDuration());
  auto second = quota->Take(60);
  auto third = quota->Take(40);
  EXPECT_TRUE(second.ok());
  EXPECT_TRUE(third.ok());
  EXPECT_FALSE(quota->Take(1).ok());
  EXPECT_EQ(refused_, std::vector<QuotaRefusal>(2, QuotaRefusal::kConcurrentTokens));
}

TEST_F(QuotaTest, StreamsAreLetInAndPauseAfterwards) {
  const auto quota = MakeQuota({.tokens_per_second = 100, .burst_tokens = 100});
  for (int pair = 0; pair < 3; ++pair) EXPECT_TRUE(EnterLine(*quota, 100));
  EXPECT_GE(quota->Pause(), absl::Seconds(2));
  now_ += quota->Pause();
  EXPECT_EQ(quota->Pause(), absl::ZeroDuration());
  EXPECT_TRUE(refused_.empty());
}

TEST_F(QuotaTest, MessagesOfStreamsWaitInLine) {
  const auto quota = MakeQuota({.concurrent_tokens = 100});
  EXPECT_TRUE(EnterLine(*quota, 1000)) << "who holds nothing is let in with any one message";
  EXPECT_FALSE(EnterLine(*quota, 150));
  EXPECT_FALSE(EnterLine(*quota, 60));
  EXPECT_FALSE(EnterLine(*quota, 30));
  EXPECT_FALSE(EnterLine(*quota, 30));
  charges_[0] = QuotaCharge();
  EXPECT_THAT(turns_, ElementsAre(0, 1)) << "in order, the large one when nothing is held";
  charges_[1] = QuotaCharge();
  EXPECT_THAT(turns_, ElementsAre(0, 1, 2, 3)) << "two fit at once";
  EXPECT_EQ(quota->Pause(), Quota::kConcurrencyDelay) << "90 are held, but one waits";
  const auto refused = quota->Take(1);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("calls that are not yet answered hold 90 and messages of streams wait for 30; this call needs"));
  charges_[3] = QuotaCharge();
  EXPECT_THAT(turns_, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(quota->Pause(), absl::ZeroDuration());
  EXPECT_TRUE(quota->Take(10).ok());
  charges_.clear();
  EXPECT_TRUE(quota->Take(1000).ok()) << "nothing is held any more";
  EXPECT_EQ(charged_.size(), 7);
}

TEST_F(QuotaTest, WhatIsCorrectedDownOrAllowedLaterMakesRoom) {
  const auto quota = MakeQuota({.concurrent_tokens = 100});
  EXPECT_TRUE(EnterLine(*quota, 100));
  EXPECT_FALSE(EnterLine(*quota, 50));
  EXPECT_FALSE(EnterLine(*quota, 50));
  charges_[0].Correct(20);
  EXPECT_THAT(turns_, ElementsAre(0, 1));
  charges_[1].Correct(80);
  quota->SetLimits({.concurrent_tokens = 150});
  EXPECT_THAT(turns_, ElementsAre(0, 1, 2));
  EXPECT_FALSE(EnterLine(*quota, 50));
  quota->SetLimits({});
  EXPECT_THAT(turns_, ElementsAre(0, 1, 2, 3));
}

TEST_F(QuotaTest, WhoseStreamEndedWaitsNoLonger) {
  const auto quota = MakeQuota({.concurrent_tokens = 100});
  EXPECT_TRUE(EnterLine(*quota, 100));
  for (int message = 1; message < 5; ++message) EXPECT_FALSE(EnterLine(*quota, 100));
  over_ = {2, 4};
  quota->EndTurns();
  EXPECT_THAT(turns_, ElementsAre(0, 2, 4));
  over_.insert(1);
  charges_[0] = QuotaCharge();
  EXPECT_THAT(turns_, ElementsAre(0, 2, 4, 1, 3)) << "what is over takes nothing";
  charges_.clear();
  EXPECT_THAT(charged_, ElementsAre(100, 100));
}

TEST_F(QuotaTest, TheLineHoldsAsManyBytesAsItMay) {
  const auto quota = MakeQuota({.concurrent_tokens = 1});
  EXPECT_TRUE(EnterLine(*quota, 1));
  EXPECT_FALSE(EnterLine(*quota, 7, 2 * Quota::kMaxLineBytes)) << "the first may be of any size";
  const absl::Status status = quota->TakeInTurn({.num_tokens = 8,
                                                 .num_bytes = 1,
                                                 .is_over = [] { return false; },
                                                 .on_its_turn = [](QuotaCharge) { ADD_FAILURE(); }});
  EXPECT_EQ(std::string(status.message()),
            "the token 'trainer' is over its quota concurrent_tokens = 1: messages that wait hold 134217728 bytes; "
            "this call needs about 8 tokens");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryDelayOf(status), Quota::kConcurrencyDelay);
  charges_[0] = QuotaCharge();
  EXPECT_THAT(turns_, ElementsAre(0, 1));
}

TEST_F(QuotaTest, CorrectionsAreChargedAndHeld) {
  const auto quota = MakeQuota({.tokens_per_second = 100, .burst_tokens = 100, .concurrent_tokens = 60});
  {
    auto charge = quota->Take(500);
    ASSERT_TRUE(charge.ok());
    charge->Correct(50);
    auto other = quota->Take(10);
    EXPECT_TRUE(other.ok()) << other.status();
    EXPECT_FALSE(quota->Take(1).ok());
  }
  EXPECT_EQ(charged_, (std::vector<std::int64_t>{10, 50}));
  EXPECT_EQ(Spend(*quota, 40), absl::ZeroDuration()) << "40 are left";
  EXPECT_GT(Spend(*quota, 1), absl::ZeroDuration());
}

TEST_F(QuotaTest, WhatIsRefundedCostsNothing) {
  const auto quota = MakeQuota({.tokens_per_second = 100, .burst_tokens = 100, .concurrent_tokens = 1000});
  auto charge = quota->Take(1000);
  ASSERT_TRUE(charge.ok());
  charge->Refund();
  EXPECT_TRUE(charged_.empty());
  EXPECT_EQ(Spend(*quota, 1), absl::ZeroDuration());
}

TEST_F(QuotaTest, NewLimitsHoldAtOnceAndDebtsStay) {
  const auto quota = MakeQuota({.tokens_per_second = 1, .burst_tokens = 10});
  EXPECT_EQ(Spend(*quota, 1010), absl::ZeroDuration());
  EXPECT_GE(Spend(*quota, 1), absl::Seconds(999));
  quota->SetLimits({.tokens_per_second = 100, .burst_tokens = 2000});
  EXPECT_LE(quota->Pause(), absl::Seconds(10.1));
  EXPECT_GE(quota->Pause(), absl::Seconds(9.9));
  quota->SetLimits({});
  EXPECT_EQ(Spend(*quota, 1'000'000), absl::ZeroDuration());
}

TEST_F(QuotaTest, AClockThatIsSetBackStopsNobodyForLong) {
  const auto quota = MakeQuota({.tokens_per_second = 100, .burst_tokens = 100});
  EXPECT_EQ(Spend(*quota, 200), absl::ZeroDuration());
  now_ -= absl::Hours(5);
  EXPECT_LE(Spend(*quota, 1), absl::Seconds(1.1));
  now_ += absl::Seconds(1.1);
  EXPECT_EQ(Spend(*quota, 1), absl::ZeroDuration());
}

}  // namespace
}  // namespace prefscore
