// SPDX-License-Identifier: Apache-2.0
#include "server/util/worker_pool.h"

#include <vector>

#include "absl/synchronization/barrier.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore {
namespace {

TEST(WorkerPool, TheDestructorRunsWhatWasPostedInOrder) {
  std::vector<int> order;
  {
    WorkerPool pool(1);
    for (int idx = 0; idx < 100; ++idx) pool.Post([&order, idx] { order.push_back(idx); });
  }
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(WorkerPool, ThreadsRunAtTheSameTime) {
  absl::Barrier* barrier = new absl::Barrier(3);  // passes only when three tasks are in it at once
  WorkerPool pool(3);
  for (int idx = 0; idx < 3; ++idx) {
    pool.Post([barrier] {
      if (barrier->Block()) delete barrier;
    });
  }
}

}  // namespace
}  // namespace prefscore
