// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/quota_pause.h"

#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"

namespace prefscore {
namespace {

// As a stream: owns its pause, and is held by what the pause calls.
struct Stream {
  explicit Stream(std::shared_ptr<const Quota> quota) : pause(std::move(quota)) {}

  absl::Notification looked_again;
  QuotaPause pause;
};

class QuotaPauseTest : public ::testing::Test {
 protected:
  // Of a caller who owes so much of a bucket that gets a token a second.
  std::shared_ptr<Quota> QuotaInDebt(std::int64_t num_tokens) {
    const auto quota = std::make_shared<Quota>("trainer", QuotaLimits{.tokens_per_second = 1, .burst_tokens = 1},
                                               AccessObserver(), [this] { return now_; });
    EXPECT_TRUE(quota->Take(num_tokens + 1).ok());
    return quota;
  }

  // Waits until nobody holds the stream any more; fails the test after 60 s.
  static void ExpectGone(const std::weak_ptr<Stream>& stream) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (!stream.expired() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_TRUE(stream.expired());
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
};

TEST_F(QuotaPauseTest, AStreamThatPausedIsLetGo) {
  std::weak_ptr<Stream> held;
  {
    const auto stream = std::make_shared<Stream>(QuotaInDebt(0));
    held = stream;
    EXPECT_FALSE(stream->pause.HasRoom([stream] { stream->looked_again.Notify(); }));
    EXPECT_TRUE(stream->looked_again.WaitForNotificationWithTimeout(absl::Seconds(60)));
  }
  ExpectGone(held);
}

TEST_F(QuotaPauseTest, AStreamWhosePauseIsCancelledLooksAgainAndIsLetGo) {
  std::weak_ptr<Stream> held;
  {
    const auto stream = std::make_shared<Stream>(QuotaInDebt(1'000'000));
    held = stream;
    EXPECT_FALSE(stream->pause.HasRoom([stream] { stream->looked_again.Notify(); }));
    stream->pause.Cancel();
    EXPECT_TRUE(stream->looked_again.WaitForNotificationWithTimeout(absl::Seconds(60)));
  }
  ExpectGone(held);
}

TEST_F(QuotaPauseTest, WhoHasRoomOrNoQuotaDoesNotPause) {
  for (const auto& quota : {std::shared_ptr<Quota>(), std::make_shared<Quota>("free", QuotaLimits(), AccessObserver())}) {
    EXPECT_TRUE(QuotaPause(quota).HasRoom([] { ADD_FAILURE(); }));
  }
}

}  // namespace
}  // namespace prefscore
