// SPDX-License-Identifier: Apache-2.0
#include "server/util/periodic_task.h"

#include <gtest/gtest.h>

#include "absl/synchronization/blocking_counter.h"

namespace prefscore {
namespace {

TEST(PeriodicTaskTest, IsDoneAgainAndAgain) {
  absl::BlockingCounter left(3);
  int num_calls = 0;
  PeriodicTask task(absl::Milliseconds(1), [&] {
    if (++num_calls <= 3) left.DecrementCount();
  });
  left.Wait();
}

TEST(PeriodicTaskTest, EndsWithoutItsPeriod) {
  bool is_called = false;
  { PeriodicTask task(absl::Hours(1), [&] { is_called = true; }); }
  EXPECT_FALSE(is_called);
}

}  // namespace
}  // namespace prefscore
