// SPDX-License-Identifier: Apache-2.0
#include "server/models/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace prefscore {
namespace {

TEST(ThreadPoolTest, RunsEveryTaskOnceUnderConcurrentCallers) {
  for (const int num_threads : {1, 2, 4}) {
    const ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller) {
      callers.emplace_back([&pool] {
        for (const std::int64_t num_tasks : {0, 1, 2, 100, 1000}) {
          std::vector<std::atomic<int>> runs(num_tasks);
          pool.ParallelFor(num_tasks, [&](std::int64_t i) { ++runs[i]; });
          for (const auto& count : runs) ASSERT_EQ(count, 1);
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
}

TEST(ThreadPoolTest, ThrowsWhatATaskThrewAndLivesOn) {
  for (const int num_threads : {1, 3}) {
    const ThreadPool pool(num_threads);
    EXPECT_THROW(pool.ParallelFor(50,
                                  [](std::int64_t i) {
                                    if (i == 20) throw std::runtime_error("task 20");
                                  }),
                 std::runtime_error);
    std::atomic<int> runs = 0;
    pool.ParallelFor(10, [&](std::int64_t) { ++runs; });
    EXPECT_EQ(runs, 10);
  }
}

}  // namespace
}  // namespace prefscore
