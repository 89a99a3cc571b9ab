// SPDX-License-Identifier: Apache-2.0
#include "server/logging/line_limit.h"

#include <gtest/gtest.h>

namespace prefscore {
namespace {

TEST(LineLimitTest, LetsOneThroughInEachPeriodAndCountsTheOthers) {
  absl::Time now = absl::UnixEpoch();
  LineLimit limit(absl::Seconds(10), [&now] { return now; });
  EXPECT_EQ(limit.Admit(), 0);
  EXPECT_EQ(limit.Admit(), std::nullopt);
  now += absl::Seconds(9.9);
  EXPECT_EQ(limit.Admit(), std::nullopt);
  now += absl::Seconds(0.1);
  EXPECT_EQ(limit.Admit(), 2);
  EXPECT_EQ(limit.Admit(), std::nullopt);
  now += absl::Hours(1);
  EXPECT_EQ(limit.Admit(), 1);
}

}  // namespace
}  // namespace prefscore
