// SPDX-License-Identifier: Apache-2.0
#include "server/batching/admission.h"

#include <deque>
#include <map>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

constexpr absl::Time kEpoch = absl::UnixEpoch();
constexpr QueuePace kUnknownPace;
constexpr Priority kInteractive = Priority::kInteractive;
constexpr Priority kBulk = Priority::kBulk;

std::optional<Refusal> Take(Admission& admission, Priority priority, const QueueLoad& need, std::uint64_t fingerprint,
                            const QueuePace& pace, absl::Time now, const std::string& caller = "") {
  Entrant entrant = {.priority = priority, .call = {caller, fingerprint}};
  return admission.Take(entrant, need, pace, now);
}

TEST(AdmissionTest, TokensAndBytesAreLimited) {
  Admission admission({.max_queued_tokens = 10, .max_queued_bytes = 1000});
  EXPECT_FALSE(Take(admission, kInteractive, {6, 100}, 0, kUnknownPace, kEpoch));
  const auto tokens = Take(admission, kInteractive, {5, 1}, 0, kUnknownPace, kEpoch);
  ASSERT_TRUE(tokens.has_value());
  EXPECT_EQ(tokens->reason, RefusalReason::kQueuedTokens);
  EXPECT_THAT(tokens->message, HasSubstr("the queue holds 6 tokens, 6 of them interactive, and the call brings 5; the "
                                         "limit is max_queued_tokens = 10"));
  EXPECT_EQ(tokens->retry_delay, absl::Seconds(1)) << "nothing is known of the pace";
  const auto bytes = Take(admission, kInteractive, {4, 901}, 0, kUnknownPace, kEpoch);
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(bytes->reason, RefusalReason::kQueuedBytes);
  EXPECT_FALSE(Take(admission, kInteractive, {4, 900}, 0, kUnknownPace, kEpoch));
  admission.Release(kInteractive, {6, 100});
  admission.Release(kInteractive, {4, 900});
  EXPECT_EQ(admission.held(kInteractive).num_tokens, 0);
  EXPECT_EQ(admission.held(kInteractive).num_bytes, 0);
}

TEST(AdmissionTest, AClassThatHoldsNothingTakesAnyOneCall) {
  Admission admission({.max_queued_tokens = 10});
  EXPECT_FALSE(Take(admission, kInteractive, {40, 0}, 0, kUnknownPace, kEpoch));
  EXPECT_TRUE(Take(admission, kInteractive, {1, 0}, 0, kUnknownPace, kEpoch));
  EXPECT_FALSE(Take(admission, kBulk, {1, 0}, 0, kUnknownPace, kEpoch));
}

TEST(AdmissionTest, BulkHoldsHalfAtMost) {
  Admission admission({.max_queued_tokens = 100});
  EXPECT_TRUE(admission.HasRoom(kBulk));
  EXPECT_FALSE(Take(admission, kBulk, {25, 0}, 0, kUnknownPace, kEpoch));
  EXPECT_FALSE(admission.HasRoom(kBulk)) << "streams pause at half of that";
  EXPECT_TRUE(admission.HasRoom(kInteractive));
  EXPECT_FALSE(Take(admission, kBulk, {25, 0}, 0, kUnknownPace, kEpoch));
  const auto refusal = Take(admission, kBulk, {1, 0}, 0, kUnknownPace, kEpoch);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_THAT(refusal->message, HasSubstr("100, half of it for bulk work"));
  EXPECT_FALSE(Take(admission, kInteractive, {1, 0}, 0, kUnknownPace, kEpoch));
  EXPECT_FALSE(Take(admission, kInteractive, {49, 0}, 0, kUnknownPace, kEpoch));
  EXPECT_TRUE(Take(admission, kInteractive, {1, 0}, 0, kUnknownPace, kEpoch));
}

TEST(AdmissionTest, ACallThatTurnsOutLargerMayStillBeRefusedOnce) {
  Admission admission({.max_queued_tokens = 100});
  Entrant entrant = {.call = {"", 5}};
  EXPECT_FALSE(Take(admission, kInteractive, {50, 0}, 0, kUnknownPace, kEpoch));
  EXPECT_FALSE(admission.Take(entrant, {40, 0}, kUnknownPace, kEpoch));
  EXPECT_FALSE(admission.Change(entrant, {40, 0}, {45, 0}, kUnknownPace, kEpoch));
  const auto refusal = admission.Change(entrant, {45, 0}, {51, 0}, kUnknownPace, kEpoch);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(admission.held(kInteractive).num_tokens, 95);
  admission.Release(kInteractive, {45, 0});
  EXPECT_FALSE(admission.Take(entrant, {40, 0}, kUnknownPace, kEpoch + refusal->retry_delay));
  EXPECT_TRUE(entrant.waits_for_room) << "it comes as told";
  EXPECT_FALSE(admission.Change(entrant, {40, 0}, {51, 0}, kUnknownPace, kEpoch));
  EXPECT_EQ(admission.held(kInteractive).num_tokens, 101);
}

TEST(AdmissionTest, NewcomersStandBehindWhatWaitsInLine) {
  Admission admission({.max_queued_tokens = 100, .max_queued_bytes = 1000});
  EXPECT_FALSE(Take(admission, kInteractive, {90, 10}, 0, kUnknownPace, kEpoch));
  Entrant stream = {.waits_for_room = true};
  EXPECT_TRUE(admission.Take(stream, {20, 600}, kUnknownPace, kEpoch));
  EXPECT_TRUE(admission.Wait(kInteractive, {20, 600}));
  EXPECT_FALSE(admission.Wait(kBulk, {20, 600})) << "the line is limited";
  EXPECT_FALSE(admission.TakeWaiting(kInteractive, {20, 600})) << "no room yet";
  EXPECT_TRUE(Take(admission, kInteractive, {5, 0}, 0, kUnknownPace, kEpoch)) << "there would be room, but not for both";
  admission.Release(kInteractive, {70, 0});
  EXPECT_TRUE(admission.TakeWaiting(kInteractive, {20, 600}));
  admission.StopWaiting(kInteractive, {20, 600});
  EXPECT_FALSE(Take(admission, kInteractive, {60, 0}, 0, kUnknownPace, kEpoch));
}

TEST(AdmissionTest, WaitingBulkWorkKeepsNoInteractiveCallOut) {
  Admission admission({.max_queued_tokens = 100});
  EXPECT_FALSE(Take(admission, kBulk, {50, 0}, 0, kUnknownPace, kEpoch));
  Entrant stream = {.priority = kBulk, .waits_for_room = true};
  EXPECT_TRUE(admission.Take(stream, {50, 1}, kUnknownPace, kEpoch));
  EXPECT_TRUE(admission.Wait(kBulk, {50, 1}));
  EXPECT_FALSE(Take(admission, kInteractive, {25, 0}, 0, kUnknownPace, kEpoch));
  EXPECT_FALSE(Take(admission, kInteractive, {25, 0}, 0, kUnknownPace, kEpoch));
  EXPECT_TRUE(Take(admission, kInteractive, {1, 0}, 0, kUnknownPace, kEpoch));
}

TEST(AdmissionTest, TheDelayIsWhenTheCallsOwnWorkWillFitAfterThoseToldBefore) {
  Admission admission({.max_queued_tokens = 1000});
  const QueuePace pace{.seconds_per_token = 0.01, .seconds_to_next_batch = 0.5};
  EXPECT_FALSE(Take(admission, kInteractive, {1000, 0}, 0, pace, kEpoch));
  const auto delay = [&](std::int64_t num_tokens, std::uint64_t fingerprint) {
    return absl::ToDoubleSeconds(
        Take(admission, kInteractive, {num_tokens, 0}, fingerprint, pace, kEpoch)->retry_delay);
  };
  EXPECT_NEAR(delay(100, 1), 1.1 * (0.5 + 1), 1e-9);
  EXPECT_NEAR(delay(100, 2), 1.1 * (0.5 + 2), 1e-9);
  EXPECT_NEAR(delay(300, 3), 1.1 * (0.5 + 5), 1e-9);
  EXPECT_NEAR(delay(100, 1), 1.1 * (0.5 + 1), 1e-9) << "who comes too early is told the same time again";
}

TEST(AdmissionTest, OneCallersCallsDelayOthersByAFullQueueAtMost) {
  Admission admission({.max_queued_tokens = 1000});
  const QueuePace pace{.seconds_per_token = 0.01, .seconds_to_next_batch = 0.5};
  EXPECT_FALSE(Take(admission, kInteractive, {1000, 0}, 0, pace, kEpoch));
  for (std::uint64_t call = 1; call <= 200; ++call) {
    EXPECT_TRUE(Take(admission, kInteractive, {100, 0}, call, pace, kEpoch, "flood"));
  }
  const auto other = Take(admission, kInteractive, {100, 0}, 1, pace, kEpoch, "other");
  EXPECT_NEAR(absl::ToDoubleSeconds(other->retry_delay), 1.1 * (0.5 + 10 + 1), 1e-9);
  const auto flood = Take(admission, kInteractive, {100, 0}, 201, pace, kEpoch, "flood");
  EXPECT_NEAR(absl::ToDoubleSeconds(flood->retry_delay), 1.1 * (0.5 + 200 + 1 + 1), 1e-9);
}

// An overloaded server, second by second: calls come at four times the rate at which it works. Those who obey succeed at
// their second attempt, and do not wait long there; the server is never idle; whoever does not come back harms nobody.
void Overload(double share_that_comes_back) {
  Admission admission({.max_queued_tokens = 10'000});
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform(0, 1);
  constexpr double kSecondsPerToken = 0.001;
  constexpr absl::Duration kStep = absl::Milliseconds(10);  // 10 tokens computed, 40 arrive
  struct Call {
    std::int64_t num_tokens;
    std::uint64_t fingerprint;
    int num_attempts;
  };
  std::deque<Call> queue;
  std::multimap<absl::Time, Call> returning;
  std::int64_t debt_tokens = 0;  // computed ahead of the next call
  std::uint64_t next_fingerprint = 1;
  int num_second_attempts = 0;
  int num_refused_again = 0;
  std::deque<std::pair<absl::Time, Call>> line;  // by when they came
  absl::Duration longest_wait;
  int num_idle_steps = 0;
  for (absl::Time now = kEpoch; now < kEpoch + absl::Seconds(300); now += kStep) {
    std::vector<Call> arriving;
    for (int i = 0; i < 4; ++i) {
      if (now < kEpoch + absl::Seconds(200)) arriving.push_back({5 + static_cast<int>(random() % 11), next_fingerprint++, 0});
    }
    while (!returning.empty() && returning.begin()->first <= now) {
      arriving.push_back(returning.begin()->second);
      returning.erase(returning.begin());
    }
    for (Call& call : arriving) {
      ++call.num_attempts;
      Entrant entrant = {.call = {"", call.fingerprint}};
      const auto refusal =
          admission.Take(entrant, {call.num_tokens, 0}, {.seconds_per_token = kSecondsPerToken}, now);
      const bool waits = refusal && entrant.waits_for_room && admission.Wait(kInteractive, {call.num_tokens, 0});
      if (call.num_attempts == 2) {
        ++num_second_attempts;
        num_refused_again += refusal.has_value() && !waits;
      }
      if (!refusal) {
        queue.push_back(call);
      } else if (waits) {
        line.emplace_back(now, call);
      } else if (call.num_attempts == 1 && uniform(random) < share_that_comes_back) {
        returning.insert({now + refusal->retry_delay * (1 + 0.2 * uniform(random)), call});
      }
    }
    debt_tokens += 10;
    while (!queue.empty() && queue.front().num_tokens <= debt_tokens) {
      debt_tokens -= queue.front().num_tokens;
      admission.Release(kInteractive, {queue.front().num_tokens, 0});
      queue.pop_front();
    }
    while (!line.empty() && admission.TakeWaiting(kInteractive, {line.front().second.num_tokens, 0})) {
      admission.StopWaiting(kInteractive, {line.front().second.num_tokens, 0});
      longest_wait = std::max(longest_wait, now - line.front().first);
      queue.push_back(line.front().second);
      line.pop_front();
    }
    if (queue.empty()) {
      debt_tokens = 0;
      num_idle_steps += now > kEpoch + absl::Seconds(1) && now < kEpoch + absl::Seconds(200);
    }
  }
  EXPECT_EQ(num_idle_steps, 0);
  ASSERT_GT(num_second_attempts, 100);
  EXPECT_EQ(num_refused_again, 0);
  EXPECT_LT(longest_wait, absl::Seconds(2)) << "a full queue is 10 s";
}

TEST(AdmissionTest, WhoObeysSucceedsWhereAllDo) { Overload(0.2); }
TEST(AdmissionTest, WhoObeysSucceedsAmongMostWhoNeverComeBack) { Overload(0.02); }

TEST(RetryBookTest, ForgetsWhoDoesNotCome) {
  RetryBook book;
  for (std::uint64_t caller = 1; caller <= 1000; ++caller) {
    book.Promise({"", caller}, {10, 100}, absl::Seconds(10), kEpoch);
  }
  EXPECT_EQ(book.Expected("", {}).num_tokens, 10'000);
  book.Expire(kEpoch + absl::Seconds(14));
  EXPECT_FALSE(book.empty());
  book.Expire(kEpoch + absl::Seconds(15));
  EXPECT_TRUE(book.empty());
  EXPECT_EQ(book.Expected("", {}).num_bytes, 0);
  book.Promise({"", 1}, {10, 100}, absl::Seconds(10), kEpoch);
  EXPECT_NEAR(book.Expected("", {}).num_tokens, 0.5, 1e-9) << "few are expected now";
  std::optional<absl::Duration> wait;
  EXPECT_FALSE(book.Claim({"", 1}, kEpoch + absl::Seconds(4), &wait));
  EXPECT_EQ(wait, absl::Seconds(6));
  EXPECT_TRUE(book.Claim({"", 1}, kEpoch + absl::Seconds(10), &wait));
  EXPECT_FALSE(book.Claim({"", 1}, kEpoch + absl::Seconds(10), &wait)) << "once";
}

TEST(RetryBookTest, IsBounded) {
  RetryBook book;
  constexpr double kMost = 1e9;
  for (const char* caller : {"a", "b"}) {
    for (std::uint64_t call = 1; call <= RetryBook::kMaxPromises; ++call) {
      book.Promise({caller, call}, {1, 0}, absl::Seconds(10), kEpoch);
    }
    EXPECT_EQ(book.Expected(caller, {}).num_tokens, RetryBook::kMaxPromisesOfCaller);
  }
  book.Promise({"c", 1}, {1, 0}, absl::Seconds(10), kEpoch);
  EXPECT_EQ(book.Expected("c", {kMost, kMost}).num_tokens, RetryBook::kMaxPromises);
}

TEST(RetryBookTest, WhoCannotBeKnownAgainIsNotExpected) {
  RetryBook book;
  book.Promise({"", 0}, {1, 0}, absl::Seconds(10), kEpoch);
  EXPECT_TRUE(book.empty());
}

TEST(RetryBookTest, CallersAreToldApart) {
  RetryBook book;
  for (std::uint64_t call = 1; call <= 1000; ++call) book.Promise({"flood", call}, {100, 0}, absl::Seconds(10), kEpoch);
  book.Promise({"other", 1}, {7, 0}, absl::Seconds(10), kEpoch);
  EXPECT_EQ(book.Expected("flood", {50, 0}).num_tokens, 100'000 + 7);
  EXPECT_EQ(book.Expected("other", {50, 0}).num_tokens, 7 + 50);
  std::optional<absl::Duration> wait;
  EXPECT_FALSE(book.Claim({"third", 1}, kEpoch + absl::Seconds(10), &wait)) << "the same request of another";
  EXPECT_TRUE(book.Claim({"other", 1}, kEpoch + absl::Seconds(10), &wait));
  book.Expire(kEpoch + absl::Seconds(15));
  for (const char* caller : {"flood", "other"}) book.Promise({caller, 1}, {100, 0}, absl::Seconds(10), kEpoch);
  EXPECT_NEAR(book.Expected("flood", {}).num_tokens, 5, 1e-9) << "few of its calls are expected";
  EXPECT_NEAR(book.Expected("other", {}).num_tokens, 100, 1e-9) << "all came";
}

}  // namespace
}  // namespace prefscore
