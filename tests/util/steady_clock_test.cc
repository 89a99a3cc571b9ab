// SPDX-License-Identifier: Apache-2.0
#include "server/util/steady_clock.h"

#include "gtest/gtest.h"

namespace prefscore {
namespace {

TEST(SteadyClockTest, AWallTimeIsAsFarAwayAsTheWallClockSaidWhateverThatClockWas) {
  for (const absl::Time wall_now : {absl::UnixEpoch(), absl::FromUnixSeconds(4'000'000'000)}) {
    const absl::Time before = SteadyNow();
    const absl::Time steady = ToSteady(wall_now + absl::Hours(2), wall_now);
    const absl::Time after = SteadyNow();
    EXPECT_GE(steady, before + absl::Hours(2));
    EXPECT_LE(steady, after + absl::Hours(2));
    EXPECT_LT(ToSteady(wall_now - absl::Hours(2), wall_now), after);
  }
  EXPECT_EQ(ToSteady(absl::InfiniteFuture(), absl::UnixEpoch()), absl::InfiniteFuture());
}

TEST(SteadyClockTest, AwaitsTheConditionOrTheEndOfTheTimeout) {
  absl::Mutex mutex;
  absl::MutexLock lock(&mutex);
  bool is_met = false;
  const absl::Time start = SteadyNow();
  EXPECT_FALSE(AwaitSteadily(mutex, absl::Condition(&is_met), absl::Milliseconds(20)));
  EXPECT_GE(SteadyNow() - start, absl::Milliseconds(20));
  EXPECT_FALSE(AwaitSteadily(mutex, absl::Condition(&is_met), absl::ZeroDuration()));
  is_met = true;
  EXPECT_TRUE(AwaitSteadily(mutex, absl::Condition(&is_met), absl::InfiniteDuration()));
}

}  // namespace
}  // namespace prefscore
