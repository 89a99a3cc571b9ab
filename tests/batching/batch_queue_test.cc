// SPDX-License-Identifier: Apache-2.0
#include "server/batching/batch_queue.h"

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const int kModel = 0;
constexpr absl::Time kEpoch = absl::UnixEpoch();

struct NamedJob : Job {
  std::string name;
};

JobPtr MakeJob(const std::string& name, std::int64_t num_tokens, Priority priority = Priority::kInteractive) {
  auto job = std::make_shared<NamedJob>();
  job->name = name;
  job->num_tokens = num_tokens;
  job->priority = priority;
  job->work = {{&kModel, {.num_tokens = num_tokens}}};
  return job;
}

std::vector<std::string> NamesOf(const std::vector<JobPtr>& jobs) {
  std::vector<std::string> names;
  for (const JobPtr& job : jobs) names.push_back(static_cast<const NamedJob&>(*job).name);
  return names;
}

// Makes passes of kModel cost this, to float rounding.
void SetCost(const CostCoefficients& cost, CostModel& model) {
  std::vector<CostSample> probes;
  for (const ForwardWork& work : {ForwardWork{1, 1, 1}, {100, 1, 1}, {1, 100, 1}, {1, 1, 100}}) {
    probes.push_back({work, cost.seconds_per_forward + cost.MarginalSeconds(work)});
  }
  model.SetProbes(&kModel, probes);
}

class BatchQueueTest : public ::testing::Test {
 protected:
  void Push(const std::string& name, std::int64_t num_tokens, Priority priority = Priority::kInteractive) {
    queue_->Push(MakeJob(name, num_tokens, priority));
  }

  std::vector<std::string> Next() { return NamesOf(queue_->FormBatch()); }

  void Make(BatchLimits limits) { queue_ = std::make_unique<BatchQueue>(limits, cost_); }

  CostModel cost_;
  std::unique_ptr<BatchQueue> queue_;
};

TEST_F(BatchQueueTest, PacksInOrderUnderTheTokenBudget) {
  Make({.max_tokens = 10});
  for (const auto& [name, tokens] : std::vector<std::pair<const char*, int>>{{"a", 4}, {"b", 6}, {"c", 1}, {"d", 9}}) {
    Push(name, tokens);
  }
  EXPECT_THAT(Next(), ElementsAre("a", "b"));
  EXPECT_THAT(Next(), ElementsAre("c", "d"));
  EXPECT_THAT(Next(), IsEmpty());
}

TEST_F(BatchQueueTest, YoungerJobsFillWhatAnOlderOneLeaves) {
  Make({.max_tokens = 10, .look_ahead = 2});
  Push("a", 6);
  Push("b", 7);
  Push("c", 4);
  EXPECT_THAT(Next(), ElementsAre("a", "c"));
  EXPECT_THAT(Next(), ElementsAre("b"));
}

TEST_F(BatchQueueTest, LooksPastFewJobsOnly) {
  Make({.max_tokens = 10, .look_ahead = 2});
  Push("a", 6);
  for (const char* name : {"big1", "big2", "big3"}) Push(name, 7);
  Push("late", 1);
  EXPECT_THAT(Next(), ElementsAre("a"));
  EXPECT_THAT(Next(), ElementsAre("big1", "late"));
}

TEST_F(BatchQueueTest, AJobOverABudgetIsABatchOfItsOwn) {
  Make({.max_tokens = 10, .max_bytes = 100});
  Push("huge", 50);
  Push("a", 1);
  JobPtr heavy = MakeJob("heavy", 1);
  heavy->num_batch_bytes = 101;
  queue_->Push(heavy);
  EXPECT_THAT(Next(), ElementsAre("huge"));
  EXPECT_THAT(Next(), ElementsAre("a"));
  EXPECT_THAT(Next(), ElementsAre("heavy"));
}

TEST_F(BatchQueueTest, MemoryIsABudget) {
  Make({.max_tokens = 10, .max_bytes = 100});
  for (const char* name : {"a", "b", "c"}) {
    JobPtr job = MakeJob(name, 1);
    job->num_batch_bytes = 50;
    queue_->Push(job);
  }
  EXPECT_THAT(Next(), ElementsAre("a", "b"));
  EXPECT_THAT(Next(), ElementsAre("c"));
}

TEST_F(BatchQueueTest, PredictedTimeIsABudgetOnceItIsKnown) {
  Make({.max_tokens = 1000, .max_seconds = 1.0});
  for (const char* name : {"a", "b", "c", "d"}) Push(name, 10);
  EXPECT_THAT(Next(), ElementsAre("a", "b", "c", "d")) << "nothing is known yet";
  SetCost({.seconds_per_token = 0.02, .seconds_per_forward = 0.5}, cost_);
  for (const char* name : {"a", "b", "c", "d"}) Push(name, 10);
  EXPECT_THAT(Next(), ElementsAre("a", "b")) << "0.5 + 2 * 0.2";
  EXPECT_THAT(Next(), ElementsAre("c", "d"));
}

TEST_F(BatchQueueTest, WhatWaitsIsPricedByWhatIsKnownNow) {
  Make({.max_tokens = 1000, .max_seconds = 1.0});
  for (const char* name : {"a", "b", "c", "d"}) Push(name, 10);
  EXPECT_EQ(queue_->SecondsAhead(Priority::kInteractive), 0);
  SetCost({.seconds_per_token = 0.04, .seconds_per_forward = 0.1}, cost_);
  EXPECT_NEAR(queue_->SecondsAhead(Priority::kInteractive), 1.6 + 2 * 0.1, 1e-6);
  EXPECT_THAT(Next(), ElementsAre("a", "b"));
  for (int pass = 0; pass < 8; ++pass) cost_.Observe({&kModel, {.num_tokens = 20}, 2.7});  // three times as long: a refit
  EXPECT_NEAR(queue_->SecondsAhead(Priority::kInteractive), 3 * (0.8 + 0.2), 0.5);
}

TEST_F(BatchQueueTest, InteractiveGoesFirstInBatchesOfItsOwn) {
  Make({.max_tokens = 100});
  Push("bulk1", 10, Priority::kBulk);
  Push("bulk2", 10, Priority::kBulk);
  Push("now", 10);
  EXPECT_THAT(Next(), ElementsAre("now"));
  EXPECT_THAT(Next(), ElementsAre("bulk1", "bulk2"));
}

// Both classes always have work: bulk gets its share, and after each of its batches interactive work goes first.
TEST_F(BatchQueueTest, NeitherClassStarves) {
  Make({.max_tokens = 10, .bulk_share = 0.1});
  std::int64_t num_batches[2] = {};
  Priority previous = Priority::kInteractive;
  for (int round = 0; round < 1000; ++round) {
    Push("i", 10);
    Push("b", 10, Priority::kBulk);
    const std::vector<JobPtr> batch = queue_->FormBatch();
    const Priority priority = batch.front()->priority;
    ++num_batches[static_cast<int>(priority)];
    EXPECT_FALSE(previous == Priority::kBulk && priority == Priority::kBulk);
    previous = priority;
  }
  EXPECT_NEAR(num_batches[1], 100, 2);
}

// Interactive work that comes now and then never waits for more than the batch in flight.
TEST_F(BatchQueueTest, RareInteractiveWorkIsNeverPassedByBulk) {
  Make({.max_tokens = 10});
  for (int round = 0; round < 200; ++round) {
    for (int bulk = 0; bulk < 5; ++bulk) Push("b", 10, Priority::kBulk);
    for (int batch = 0; batch < 4; ++batch) EXPECT_THAT(Next(), ElementsAre("b"));
    Push("i", 10);
    EXPECT_THAT(Next(), ElementsAre("i"));
  }
}

TEST_F(BatchQueueTest, AProbeRunsAlone) {
  Make({.max_tokens = 100});
  Push("a", 1, Priority::kBulk);
  JobPtr probe = MakeJob("probe", 1, Priority::kBulk);
  probe->is_probe = true;
  queue_->Push(probe);
  Push("b", 1, Priority::kBulk);
  EXPECT_THAT(Next(), ElementsAre("a", "b"));
  Push("c", 1, Priority::kBulk);
  EXPECT_THAT(Next(), ElementsAre("probe"));
}

TEST_F(BatchQueueTest, CancelledAndExpiredJobsLeaveAtOnce) {
  Make({.max_tokens = 100});
  const auto call = std::make_shared<Cancellation>();
  for (const char* name : {"a", "b", "c"}) {
    JobPtr job = MakeJob(name, 5);
    if (*name != 'b') job->cancellation = call;
    job->deadline = kEpoch + absl::Seconds(*name);
    queue_->Push(job);
  }
  EXPECT_EQ(queue_->NextDeadline(), kEpoch + absl::Seconds('a'));
  EXPECT_THAT(NamesOf(queue_->TakeCancelled(*call)), ElementsAre("a", "c"));
  EXPECT_EQ(queue_->NumTokens(Priority::kInteractive), 5);
  EXPECT_EQ(queue_->NextDeadline(), kEpoch + absl::Seconds('b'));
  EXPECT_THAT(queue_->TakeExpired(kEpoch + absl::Seconds('a')), IsEmpty());
  EXPECT_THAT(NamesOf(queue_->TakeExpired(kEpoch + absl::Seconds('b'))), ElementsAre("b"));
  EXPECT_EQ(queue_->NextDeadline(), absl::InfiniteFuture());
  EXPECT_TRUE(queue_->empty());
}

TEST_F(BatchQueueTest, SecondsAheadCountWhatGoesFirst) {
  Make({.max_tokens = 20, .bulk_share = 0.2});
  EXPECT_EQ(queue_->SecondsAhead(Priority::kInteractive), 0);
  SetCost({.seconds_per_token = 0.01, .seconds_per_forward = 1}, cost_);
  for (int job = 0; job < 4; ++job) Push("i", 10);
  EXPECT_NEAR(queue_->SecondsAhead(Priority::kInteractive), 0.4 + 2 * 1, 1e-6) << "two batches";
  EXPECT_NEAR(queue_->SecondsAhead(Priority::kBulk), 2.4, 1e-6);
  for (int job = 0; job < 10; ++job) Push("b", 10, Priority::kBulk);
  EXPECT_NEAR(queue_->SecondsAhead(Priority::kInteractive), 2.4 * 1.25, 1e-6) << "bulk takes its fifth meanwhile";
  EXPECT_NEAR(queue_->SecondsAhead(Priority::kBulk), 2.4 + 1 + 5, 1e-6);
  while (!queue_->FormBatch().empty()) {
  }
  EXPECT_EQ(queue_->SecondsAhead(Priority::kBulk), 0);
}

// Random pushes, batches, cancellations and expiries: every job leaves exactly once, budgets hold, and no job is overtaken
// by more batches than there were jobs before it.
TEST(BatchQueuePropertyTest, NothingIsLostDoubledOrLate) {
  for (int seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](int limit) { return static_cast<int>(random() % limit); };
    CostModel cost;
    const BatchLimits limits{.max_tokens = 20 + below(100),
                             .max_bytes = 500,
                             .max_seconds = 0.5,
                             .look_ahead = below(8),
                             .bulk_share = 0.1 * below(5)};
    BatchQueue queue(limits, cost);
    std::map<const Job*, std::int64_t> batches_left;  // of its class, until the job must be in one
    std::vector<std::shared_ptr<Cancellation>> calls(5);
    for (auto& call : calls) call = std::make_shared<Cancellation>();
    absl::Time now = kEpoch;
    std::int64_t num_pushed = 0;
    std::int64_t num_left = 0;
    const auto leave = [&](const std::vector<JobPtr>& jobs) {
      for (const JobPtr& job : jobs) {
        ASSERT_EQ(batches_left.erase(job.get()), 1u) << "a job left twice";
        ++num_left;
      }
    };
    std::vector<JobPtr> alive;  // so that no address is used twice
    for (int step = 0; step < 2000; ++step) {
      switch (below(8)) {
        case 0: {
          const std::vector<JobPtr> batch = queue.FormBatch();
          if (batch.empty()) break;
          std::int64_t num_tokens = 0;
          std::int64_t num_bytes = 0;
          std::vector<ModelWork> works;
          for (const JobPtr& job : batch) {
            num_tokens += job->num_tokens;
            num_bytes += job->num_batch_bytes;
            works.insert(works.end(), job->work.begin(), job->work.end());
            EXPECT_EQ(job->priority, batch.front()->priority);
          }
          if (batch.size() > 1) {
            EXPECT_LE(num_tokens, limits.max_tokens);
            EXPECT_LE(num_bytes, limits.max_bytes);
            EXPECT_LE(cost.Seconds(works), limits.max_seconds + 1e-9);
          }
          leave(batch);
          for (auto& [job, left] : batches_left) {
            if (job->priority != batch.front()->priority) continue;
            EXPECT_GE(--left, 1) << "a job waits for ever";
          }
          cost.Observe({&kModel, {.num_tokens = num_tokens}, 0.001 * static_cast<double>(num_tokens) * (1 + below(3))});
          break;
        }
        case 1:
          if (below(10) == 0) leave(queue.TakeCancelled(*calls[below(5)]));
          break;
        case 2:
          now += absl::Seconds(1);
          leave(queue.TakeExpired(now));
          break;
        default: {
          if (below(3) > 0) break;
          JobPtr job = MakeJob("", 1 + below(60), kPriorities[below(2)]);
          job->num_batch_bytes = below(300);
          if (below(3) == 0) job->cancellation = calls[below(5)];
          if (below(3) == 0) job->deadline = now + absl::Seconds(below(60));
          batches_left[job.get()] = queue.NumJobs(job->priority) + 1;
          alive.push_back(job);
          queue.Push(std::move(job));
          ++num_pushed;
        }
      }
      if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
    }
    leave(queue.TakeAll());
    EXPECT_EQ(num_left, num_pushed);
    EXPECT_TRUE(batches_left.empty());
    for (const Priority priority : kPriorities) {
      EXPECT_EQ(queue.NumTokens(priority), 0);
      EXPECT_EQ(queue.SecondsAhead(priority), 0);
    }
    EXPECT_EQ(queue.NextDeadline(), absl::InfiniteFuture());
  }
}

}  // namespace
}  // namespace prefscore
