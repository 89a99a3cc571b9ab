// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/retry.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore::client {
namespace {

using ::testing::ElementsAre;

// A policy whose sleeps only move its clock.
struct FakeTime {
  absl::Time now = absl::UnixEpoch();
  std::vector<absl::Duration> sleeps;
  double random = 0.5;  // in the middle: no jitter for a backoff

  RetryPolicy Policy(int max_attempts) {
    RetryPolicy policy;
    policy.max_attempts = max_attempts;
    policy.initial_backoff = absl::Seconds(1);
    policy.max_backoff = absl::Seconds(5);
    policy.sleep = [this](absl::Duration delay) {
      sleeps.push_back(delay);
      now += delay;
    };
    policy.now = [this] { return now; };
    policy.random = [this] { return random; };
    return policy;
  }
};

TEST(RetryTest, UnavailableIsRetriedWithGrowingBackoffUntilItSucceeds) {
  FakeTime time;
  int attempts = 0;
  const absl::Status status = CallWithRetry(time.Policy(10), absl::InfiniteDuration(), [&](absl::Time) {
    if (++attempts == 6) return CallError{};
    return CallError{attempts % 2 == 0 ? absl::UnavailableError("down") : absl::CancelledError("stopping")};
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(time.sleeps,
              ElementsAre(absl::Seconds(1), absl::Seconds(2), absl::Seconds(4), absl::Seconds(5), absl::Seconds(5)));
}

TEST(RetryTest, AttemptsAreBoundedAndTheLastErrorIsReturned) {
  FakeTime time;
  int attempts = 0;
  const absl::Status status = CallWithRetry(time.Policy(3), absl::InfiniteDuration(), [&](absl::Time) {
    ++attempts;
    return CallError{absl::UnavailableError("down")};
  });
  EXPECT_EQ(status, absl::UnavailableError("down"));
  EXPECT_EQ(attempts, 3);
  EXPECT_EQ(time.sleeps.size(), 2);
}

TEST(RetryTest, WhatLastsIsNotRetried) {
  FakeTime time;
  int attempts = 0;
  const absl::Status status = CallWithRetry(time.Policy(3), absl::InfiniteDuration(), [&](absl::Time) {
    ++attempts;
    return CallError{.status = absl::UnavailableError("another certificate"), .is_lasting = true};
  });
  EXPECT_EQ(status, absl::UnavailableError("another certificate"));
  EXPECT_EQ(attempts, 1);
}

TEST(RetryTest, RetryInfoIsWaitedForAtLeast) {
  for (const double random : {0.0, 0.5, 0.999}) {
    FakeTime time;
    time.random = random;
    int attempts = 0;
    const absl::Status status = CallWithRetry(time.Policy(3), absl::InfiniteDuration(), [&](absl::Time) {
      return ++attempts == 1 ? CallError{absl::ResourceExhaustedError("full"), absl::Seconds(30)} : CallError{};
    });
    EXPECT_TRUE(status.ok());
    ASSERT_EQ(time.sleeps.size(), 1);
    EXPECT_GE(time.sleeps[0], absl::Seconds(30));
    EXPECT_LE(time.sleeps[0], absl::Seconds(36));
  }
}

TEST(RetryTest, OtherErrorsAreFinal) {
  for (const absl::Status& error :
       {absl::ResourceExhaustedError("message too large"), absl::InvalidArgumentError("bad"),
        absl::DeadlineExceededError("late"), absl::InternalError("bug")}) {
    FakeTime time;
    int attempts = 0;
    const absl::Status status = CallWithRetry(time.Policy(3), absl::InfiniteDuration(), [&](absl::Time) {
      ++attempts;
      return CallError{error};
    });
    EXPECT_EQ(status, error);
    EXPECT_EQ(attempts, 1);
  }
}

TEST(RetryTest, NoWaitReachesBeyondTheDeadline) {
  FakeTime time;
  std::vector<absl::Time> deadlines;
  const absl::Status status = CallWithRetry(time.Policy(10), absl::Seconds(4), [&](absl::Time deadline) {
    deadlines.push_back(deadline);
    return CallError{absl::UnavailableError("down")};
  });
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(time.sleeps, ElementsAre(absl::Seconds(1), absl::Seconds(2)));  // 4 s more would be 7 s
  const absl::Time deadline = absl::UnixEpoch() + absl::Seconds(4);
  EXPECT_THAT(deadlines, ElementsAre(deadline, deadline, deadline));
}

TEST(RetryTest, JitterSpreadsTheBackoff) {
  FakeTime time;
  const RetryPolicy policy = time.Policy(2);
  time.random = 0;
  EXPECT_EQ(Backoff(policy).NextDelay({absl::UnavailableError("")}), absl::Milliseconds(800));
  time.random = 1;
  EXPECT_EQ(Backoff(policy).NextDelay({absl::UnavailableError("")}), absl::Milliseconds(1200));
}

TEST(RetryTest, ResetCountsAnew) {
  FakeTime time;
  Backoff backoff(time.Policy(2));
  const CallError error{absl::UnavailableError("down")};
  EXPECT_TRUE(backoff.NextDelay(error).has_value());
  EXPECT_FALSE(backoff.NextDelay(error).has_value());
  backoff.Reset();
  EXPECT_EQ(backoff.NextDelay(error), absl::Seconds(1));
}

}  // namespace
}  // namespace prefscore::client
