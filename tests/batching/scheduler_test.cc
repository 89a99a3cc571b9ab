// SPDX-License-Identifier: Apache-2.0
#include "server/batching/scheduler.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/retry_delay.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const int kModel = 0;

struct NamedJob : Job {
  std::string name;
};

// A scheduler whose runner records its batches, and holds the first one until told: what is submitted meanwhile waits.
class SchedulerTest : public ::testing::Test {
 protected:
  void Start(SchedulerOptions options) {
    options.now = [this] { return absl::UnixEpoch() + absl::Seconds(now_seconds_.load()); };
    SchedulerObserver observer;
    observer.on_queue_changed = [this](Priority priority, std::int64_t queued_jobs, std::int64_t queued_tokens) {
      absl::MutexLock lock(&mutex_);
      last_queue_[static_cast<std::size_t>(priority)] = {queued_jobs, queued_tokens};
    };
    observer.on_batch = [this](const BatchReport& report) {
      absl::MutexLock lock(&mutex_);
      reports_.push_back(report);
    };
    observer.on_refused = [this](Priority, RefusalReason reason) {
      absl::MutexLock lock(&mutex_);
      refusals_.push_back(reason);
    };
    scheduler_ = std::make_unique<Scheduler>(options, [this](const std::vector<JobPtr>& jobs) { return Run(jobs); }, observer);
    ASSERT_TRUE(Submit({MakeJob("first", 1)}).ok());
    first_started_.WaitForNotification();
  }

  std::vector<PassTime> Run(const std::vector<JobPtr>& jobs) {
    if (!first_started_.HasBeenNotified()) {
      first_started_.Notify();
      release_first_.WaitForNotification();
    }
    now_seconds_ += seconds_per_batch_;
    std::vector<std::string> names;
    for (const JobPtr& job : jobs) {
      names.push_back(static_cast<NamedJob&>(*job).name);
      job->status = names.back() == "bad" ? absl::InternalError("bad") : absl::OkStatus();
    }
    absl::MutexLock lock(&mutex_);
    batches_.push_back(names);
    std::int64_t num_tokens = 0;
    for (const JobPtr& job : jobs) num_tokens += job->num_tokens;
    return {{&kModel, {.num_tokens = num_tokens}, static_cast<double>(seconds_per_batch_)}};
  }

  std::shared_ptr<NamedJob> MakeJob(const std::string& name, std::int64_t num_tokens,
                                    Priority priority = Priority::kInteractive) {
    auto job = std::make_shared<NamedJob>();
    job->name = name;
    job->num_tokens = num_tokens;
    job->priority = priority;
    job->work = {{&kModel, {.num_tokens = num_tokens}}};
    job->done = [this, name](absl::Status status) {
      absl::MutexLock lock(&mutex_);
      done_.emplace_back(name, status.code());
    };
    return job;
  }

  static Arrival ArrivalOf(const std::vector<JobPtr>& jobs) {
    Arrival arrival{.entrant = {.priority = jobs.front()->priority}};
    for (const JobPtr& job : jobs) arrival.load += {job->num_tokens, job->num_queued_bytes};
    arrival.deadline = jobs.front()->deadline;
    arrival.cancellation = jobs.front()->cancellation;
    return arrival;
  }

  // A ticket, or why there is none, of a call that does not wait for room.
  absl::StatusOr<Ticket> Admit(Arrival arrival) {
    absl::StatusOr<Ticket> admitted = absl::InternalError("neither admitted nor refused");
    scheduler_->Admit(std::move(arrival), [&](absl::StatusOr<Ticket> ticket) { admitted = std::move(ticket); });
    return admitted;
  }

  absl::Status Submit(std::vector<JobPtr> jobs) {
    auto ticket = Admit(ArrivalOf(jobs));
    if (!ticket.ok()) return ticket.status();
    return scheduler_->Submit(*std::move(ticket), std::move(jobs));
  }

  // As streams do.
  void SubmitWhenRoom(JobPtr job) {
    Arrival arrival = ArrivalOf({job});
    arrival.entrant.waits_for_room = true;
    scheduler_->Admit(std::move(arrival), [this, job](absl::StatusOr<Ticket> ticket) {
      const absl::Status status =
          ticket.ok() ? scheduler_->Submit(*std::move(ticket), {job}) : ticket.status();
      if (!status.ok()) job->done(status);
    });
  }

  // Lets the first batch go and waits for all that was admitted.
  void Finish() {
    release_first_.Notify();
    EXPECT_TRUE(scheduler_->Drain(absl::Seconds(60)));
  }

  std::vector<std::vector<std::string>> Batches() {
    absl::MutexLock lock(&mutex_);
    return batches_;
  }

  std::optional<absl::StatusCode> DoneCode(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    std::optional<absl::StatusCode> found;
    for (const auto& [done_name, code] : done_) {
      if (done_name != name) continue;
      EXPECT_FALSE(found.has_value()) << name << " was done twice";
      found = code;
    }
    return found;
  }

  // Waits for `name` to be done.
  void WaitUntilDone(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    const auto is_done = [&] {
      return std::any_of(done_.begin(), done_.end(), [&](const auto& done) { return done.first == name; });
    };
    mutex_.Await(absl::Condition(&is_done));
  }

  std::atomic<std::int64_t> now_seconds_{0};
  std::int64_t seconds_per_batch_ = 0;
  absl::Notification first_started_;
  absl::Notification release_first_;
  absl::Mutex mutex_;
  std::vector<std::vector<std::string>> batches_;
  std::vector<BatchReport> reports_;
  std::vector<RefusalReason> refusals_;
  std::vector<std::pair<std::string, absl::StatusCode>> done_;
  std::array<std::pair<std::int64_t, std::int64_t>, 2> last_queue_;  // jobs, tokens, as last told to the observer
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, RunsWhatWaitsInBatches) {
  Start({.batch = {.max_tokens = 10}});
  ASSERT_TRUE(Submit({MakeJob("a", 4), MakeJob("b", 6), MakeJob("c", 1)}).ok());
  ASSERT_TRUE(Submit({MakeJob("bulk", 5, Priority::kBulk)}).ok());
  ASSERT_TRUE(Submit({MakeJob("d", 9)}).ok());
  Finish();
  EXPECT_THAT(Batches(),
              ElementsAre(ElementsAre("first"), ElementsAre("a", "b"), ElementsAre("c", "d"), ElementsAre("bulk")));
  ASSERT_EQ(reports_.size(), 4u);
  EXPECT_EQ(reports_[1].num_jobs, 2);
  EXPECT_EQ(reports_[1].num_tokens, 10);
  EXPECT_EQ(reports_[3].priority, Priority::kBulk);
}

TEST_F(SchedulerTest, TheObserverIsLeftWithTheQueueAsItIs) {
  Start({.batch = {.max_tokens = 10}});
  ASSERT_TRUE(Submit({MakeJob("a", 4), MakeJob("b", 6)}).ok());
  EXPECT_EQ(last_queue_[0], std::make_pair(std::int64_t{2}, std::int64_t{10}));
  EXPECT_EQ(last_queue_[1], std::make_pair(std::int64_t{0}, std::int64_t{0}));
  Finish();
  EXPECT_EQ(last_queue_[0], std::make_pair(std::int64_t{0}, std::int64_t{0}));
}

TEST_F(SchedulerTest, ExpiredJobsAreNeverComputed) {
  Start({.batch = {.max_tokens = 10}});
  auto expiring = MakeJob("expiring", 1);
  expiring->deadline = absl::UnixEpoch() + absl::Seconds(5);
  auto lasting = MakeJob("lasting", 1);
  lasting->deadline = absl::UnixEpoch() + absl::Seconds(7);
  ASSERT_TRUE(Submit({expiring}).ok());
  ASSERT_TRUE(Submit({lasting}).ok());
  now_seconds_ = 6;
  Finish();
  EXPECT_THAT(Batches(), ElementsAre(ElementsAre("first"), ElementsAre("lasting")));
  EXPECT_EQ(DoneCode("expiring"), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(DoneCode("lasting"), absl::StatusCode::kOk);
  EXPECT_EQ(lasting->queue_delay, absl::Seconds(6));
}

TEST_F(SchedulerTest, ADeadlineThatPassesWhileABatchRunsEndsItsJobAtOnce) {
  Start({});
  auto job = MakeJob("expiring", 1);
  job->deadline = absl::UnixEpoch() + absl::Seconds(5);
  ASSERT_TRUE(Submit({job}).ok());
  now_seconds_ = 6;
  const auto call = std::make_shared<Cancellation>();
  auto cancelled = MakeJob("cancelled", 1);
  cancelled->cancellation = call;
  ASSERT_TRUE(Submit({cancelled}).ok());
  scheduler_->Cancel(*call);  // wakes the completion thread, which sees the clock
  WaitUntilDone("expiring");
  EXPECT_EQ(DoneCode("expiring"), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Batches().size(), 0u) << "the first batch still runs";
  Finish();
}

TEST_F(SchedulerTest, ACancelledCallLeavesTheQueueAtOnce) {
  Start({.batch = {.max_tokens = 10}, .admission = {.max_queued_tokens = 20}});
  const auto call = std::make_shared<Cancellation>();
  std::vector<JobPtr> jobs = {MakeJob("a", 10), MakeJob("b", 10)};
  for (const JobPtr& job : jobs) job->cancellation = call;
  ASSERT_TRUE(Submit(jobs).ok());
  EXPECT_EQ(Submit({MakeJob("c", 10)}).code(), absl::StatusCode::kResourceExhausted);
  scheduler_->Cancel(*call);
  EXPECT_TRUE(Submit({MakeJob("d", 10)}).ok()) << "its tokens are released";
  WaitUntilDone("b");  // while the first batch runs
  EXPECT_EQ(DoneCode("a"), absl::StatusCode::kCancelled);
  EXPECT_EQ(DoneCode("b"), absl::StatusCode::kCancelled);
  Finish();
  EXPECT_THAT(Batches(), ElementsAre(ElementsAre("first"), ElementsAre("d")));
}

TEST_F(SchedulerTest, ACallCancelledBeforeItsJobsComeIsRefused) {
  Start({});
  const auto call = std::make_shared<Cancellation>();
  JobPtr job = MakeJob("a", 10);
  job->cancellation = call;
  auto ticket = Admit(ArrivalOf({job}));
  ASSERT_TRUE(ticket.ok());
  scheduler_->Cancel(*call);
  EXPECT_EQ(scheduler_->Submit(*std::move(ticket), {job}).code(), absl::StatusCode::kCancelled);
  Finish();
  EXPECT_EQ(DoneCode("a"), std::nullopt);
}

TEST_F(SchedulerTest, AJobsOwnStatusIsNotItsMates) {
  Start({.batch = {.max_tokens = 10}});
  ASSERT_TRUE(Submit({MakeJob("good", 1), MakeJob("bad", 1)}).ok());
  Finish();
  EXPECT_EQ(DoneCode("good"), absl::StatusCode::kOk);
  EXPECT_EQ(DoneCode("bad"), absl::StatusCode::kInternal);
}

TEST_F(SchedulerTest, AFullQueueAdmitsAllJobsOfACallOrNone) {
  Start({.batch = {.max_tokens = 10}, .admission = {.max_queued_tokens = 10}});
  ASSERT_TRUE(Submit({MakeJob("a", 6)}).ok());
  const absl::Status refused = Submit({MakeJob("b", 4), MakeJob("c", 1)});
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("max_queued_tokens = 10"));
  EXPECT_EQ(RetryDelayOf(refused), absl::Seconds(1)) << "nothing is measured yet";
  EXPECT_TRUE(Submit({MakeJob("d", 4)}).ok());
  Finish();
  EXPECT_THAT(Batches(), ElementsAre(ElementsAre("first"), ElementsAre("a", "d")));
  EXPECT_EQ(DoneCode("b"), std::nullopt);
  EXPECT_THAT(refusals_, ElementsAre(RefusalReason::kQueuedTokens));
}

TEST_F(SchedulerTest, WorkThatIsBeingTokenisedCounts) {
  Start({.admission = {.max_queued_tokens = 10}});
  {
    const auto ticket = Admit({.load = {6, 0}});
    ASSERT_TRUE(ticket.ok());
    EXPECT_EQ(Submit({MakeJob("a", 5)}).code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_TRUE(Submit({MakeJob("a", 5)}).ok()) << "a ticket that is given up gives back what it held";
  Finish();
}

TEST_F(SchedulerTest, StreamsWaitForRoomInOrder) {
  Start({.batch = {.max_tokens = 5}, .admission = {.max_queued_tokens = 20}});
  for (const char* name : {"a", "b", "c", "d", "e"}) SubmitWhenRoom(MakeJob(name, 5, Priority::kBulk));
  EXPECT_EQ(last_queue_[1].first, 2) << "half of the queue";
  const auto call = std::make_shared<Cancellation>();
  JobPtr cancelled = MakeJob("cancelled", 5, Priority::kBulk);
  cancelled->cancellation = call;
  SubmitWhenRoom(cancelled);
  scheduler_->Cancel(*call);
  WaitUntilDone("cancelled");
  EXPECT_EQ(DoneCode("cancelled"), absl::StatusCode::kCancelled);
  release_first_.Notify();
  WaitUntilDone("e");
  EXPECT_THAT(Batches(), ElementsAre(ElementsAre("first"), ElementsAre("a"), ElementsAre("b"), ElementsAre("c"),
                                     ElementsAre("d"), ElementsAre("e")));
  EXPECT_TRUE(refusals_.empty());
}

TEST_F(SchedulerTest, WhoComesAsToldWaitsRatherThanBeingRefusedAgain) {
  Start({.batch = {.max_tokens = 10}, .admission = {.max_queued_tokens = 10}});
  ASSERT_TRUE(Submit({MakeJob("a", 10)}).ok());
  JobPtr job = MakeJob("told", 4);
  Arrival arrival = ArrivalOf({job});
  arrival.entrant.call.fingerprint = 77;
  EXPECT_EQ(RetryDelayOf(Admit(arrival).status()), absl::Seconds(1));
  now_seconds_ = 1;
  scheduler_->Admit(arrival, [&](absl::StatusOr<Ticket> ticket) {
    ASSERT_TRUE(ticket.ok()) << ticket.status();
    EXPECT_TRUE(scheduler_->Submit(*std::move(ticket), {job}).ok());
  });
  EXPECT_EQ(Submit({MakeJob("newcomer", 1)}).code(), absl::StatusCode::kResourceExhausted);
  release_first_.Notify();
  WaitUntilDone("told");
  EXPECT_EQ(DoneCode("told"), absl::StatusCode::kOk);
  EXPECT_THAT(refusals_, ElementsAre(RefusalReason::kQueuedTokens, RefusalReason::kQueuedTokens));
}

TEST_F(SchedulerTest, WhatWaitsForRoomIsBoundedToo) {
  Start({.admission = {.max_queued_tokens = 20, .max_queued_bytes = 100}});
  for (const char* name : {"a", "b", "c", "d"}) {
    JobPtr job = MakeJob(name, 5, Priority::kBulk);
    job->num_queued_bytes = 60;
    SubmitWhenRoom(job);
  }
  EXPECT_EQ(DoneCode("c"), absl::StatusCode::kResourceExhausted) << "a waits in the queue, b for room";
  EXPECT_EQ(DoneCode("d"), absl::StatusCode::kResourceExhausted);
  release_first_.Notify();
  WaitUntilDone("b");
  EXPECT_EQ(DoneCode("b"), absl::StatusCode::kOk);
}

TEST_F(SchedulerTest, ADeadlineThatCannotBeMetIsRefused) {
  seconds_per_batch_ = 2;
  Start({.batch = {.max_tokens = 10}});
  release_first_.Notify();
  WaitUntilDone("first");  // 2 s a token
  const absl::Time now = absl::UnixEpoch() + absl::Seconds(2);
  auto job = MakeJob("late", 3);
  job->deadline = now + absl::Seconds(5);
  const absl::Status refused = Submit({job});
  EXPECT_EQ(refused.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("predicted are 6 s (batch in flight 0, queue 0, the call itself 6), allowed are 5 s"));
  EXPECT_THAT(refusals_, ElementsAre(RefusalReason::kDeadline));
  job->deadline = now + absl::Seconds(6);
  EXPECT_TRUE(Submit({job}).ok());
  auto expired = MakeJob("expired", 1);
  expired->deadline = now;
  EXPECT_EQ(Submit({expired}).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(scheduler_->Drain(absl::Seconds(60)));
}

TEST_F(SchedulerTest, AnOldPredictionRefusesNobody) {
  seconds_per_batch_ = 2;
  Start({});
  release_first_.Notify();
  WaitUntilDone("first");
  now_seconds_ = 40;
  auto job = MakeJob("late", 3);
  job->deadline = absl::UnixEpoch() + absl::Seconds(41);
  EXPECT_TRUE(Submit({job}).ok());
  EXPECT_TRUE(scheduler_->Drain(absl::Seconds(60)));
}

TEST_F(SchedulerTest, ASlowCallbackDelaysNoBatch) {
  Start({.batch = {.max_tokens = 1}});
  auto slow = MakeJob("slow", 1);
  slow->done = [this](absl::Status) {
    absl::MutexLock lock(&mutex_);
    const auto second_ran = [this] { return batches_.size() == 3; };
    mutex_.Await(absl::Condition(&second_ran));
  };
  ASSERT_TRUE(Submit({slow}).ok());
  ASSERT_TRUE(Submit({MakeJob("second", 1)}).ok());
  Finish();  // ends only if the second batch runs while the first one's callback waits
}

TEST_F(SchedulerTest, DrainFinishesWhatWasAdmittedAndAdmitsNoMore) {
  Start({.batch = {.max_tokens = 10}});
  ASSERT_TRUE(Submit({MakeJob("a", 1)}).ok());
  EXPECT_FALSE(scheduler_->Drain(absl::ZeroDuration())) << "the first batch is still held";
  EXPECT_EQ(Submit({MakeJob("late", 1)}).code(), absl::StatusCode::kUnavailable);
  Finish();
  EXPECT_EQ(DoneCode("a"), absl::StatusCode::kOk);
  EXPECT_EQ(DoneCode("late"), std::nullopt);
}

TEST_F(SchedulerTest, AbandonRefusesAllButTheBatchInFlightAndCountsIt) {
  Start({.batch = {.max_tokens = 1}});
  ASSERT_TRUE(Submit({MakeJob("a", 1)}).ok());
  ASSERT_TRUE(Submit({MakeJob("b", 1), MakeJob("c", 1)}).ok());
  ASSERT_TRUE(scheduler_->SubmitProbe(MakeJob("probe", 1)).ok());
  const std::vector<JobPtr> jobs = {MakeJob("unsubmitted", 1)};
  auto ticket = Admit(ArrivalOf(jobs));
  ASSERT_TRUE(ticket.ok());
  EXPECT_EQ(scheduler_->Abandon(), 4) << "three jobs, and a call that has not brought its own";
  EXPECT_EQ(scheduler_->Submit(*std::move(ticket), jobs).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Submit({MakeJob("late", 1)}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_->Abandon(), 0);
  Finish();
  EXPECT_EQ(DoneCode("first"), absl::StatusCode::kOk);
  for (const char* name : {"a", "b", "c", "probe"}) EXPECT_EQ(DoneCode(name), absl::StatusCode::kUnavailable) << name;
  EXPECT_EQ(DoneCode("late"), std::nullopt);
}

TEST_F(SchedulerTest, TellsOfABatchThatDoesNotEnd) {
  Start({});
  now_seconds_ += 7;
  EXPECT_FALSE(scheduler_->Drain(absl::ZeroDuration()));
  const auto batch = scheduler_->AwaitBatchEnd(absl::ZeroDuration());
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->num_jobs, 1);
  EXPECT_EQ(batch->num_tokens, 1);
  EXPECT_THAT(batch->models, ElementsAre(&kModel));
  EXPECT_EQ(batch->running, absl::Seconds(7));
  release_first_.Notify();
  EXPECT_FALSE(scheduler_->AwaitBatchEnd(absl::Seconds(60)).has_value());
}

TEST_F(SchedulerTest, DestructionFailsWhatIsQueued) {
  Start({.batch = {.max_tokens = 1}});
  ASSERT_TRUE(Submit({MakeJob("a", 1)}).ok());
  Scheduler* scheduler = scheduler_.release();
  std::thread destroyer([scheduler] { delete scheduler; });
  // The owner is held in its first batch, so the destructor waits there once it has stopped admission.
  while (scheduler->SubmitProbe(MakeJob("probe", 1)).ok()) {
  }
  release_first_.Notify();
  destroyer.join();
  EXPECT_EQ(DoneCode("first"), absl::StatusCode::kOk);
  EXPECT_EQ(DoneCode("a"), absl::StatusCode::kUnavailable);
}

// Calls and streams of both classes from several threads, some cancelled, some late: every job that was accepted is done
// once, and nothing is left.
TEST(SchedulerStressTest, EveryAcceptedJobIsDoneOnceWhateverHappens) {
  SchedulerObserver observer;
  std::array<std::atomic<std::int64_t>, 2> queued_tokens{};
  observer.on_queue_changed = [&](Priority priority, std::int64_t, std::int64_t num_tokens) {
    queued_tokens[static_cast<std::size_t>(priority)] = num_tokens;
  };
  Scheduler scheduler({.batch = {.max_tokens = 50}, .admission = {.max_queued_tokens = 2000, .max_queued_bytes = 50'000}},
                      [](const std::vector<JobPtr>& jobs) {
                        for (const JobPtr& job : jobs) job->status = absl::OkStatus();
                        return std::vector<PassTime>{{&kModel, {.num_tokens = 1}, 1e-6}};
                      },
                      observer);
  constexpr int kThreads = 4;
  constexpr int kCallsPerThread = 2000;
  std::atomic<std::int64_t> num_expected{0};
  std::atomic<std::int64_t> num_done{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937 random(thread);
      for (int idx = 0; idx < kCallsPerThread; ++idx) {
        const auto cancellation = std::make_shared<Cancellation>();
        Arrival arrival{.entrant = {.priority = kPriorities[random() % 2],
                                    .call = {"", random() % 100},
                                    .waits_for_room = random() % 2 == 0}};
        if (random() % 4 == 0) arrival.deadline = SteadyNow() + absl::Microseconds(random() % 300);
        arrival.cancellation = cancellation;
        std::vector<JobPtr> jobs;
        for (std::size_t n = 1 + random() % 4; n > 0; --n) {
          auto job = std::make_shared<Job>();
          job->priority = arrival.entrant.priority;
          job->num_tokens = 1 + static_cast<std::int64_t>(random() % 60);
          job->num_queued_bytes = static_cast<std::int64_t>(random() % 300);
          job->work = {{&kModel, {.num_tokens = job->num_tokens}}};
          job->deadline = arrival.deadline;
          job->cancellation = cancellation;
          job->done = [&num_done](const absl::Status&) { ++num_done; };
          arrival.load += {job->num_tokens, job->num_queued_bytes};
          jobs.push_back(std::move(job));
        }
        const auto submit = [&scheduler, &num_expected, jobs](absl::StatusOr<Ticket> ticket) {
          if (!ticket.ok()) return;
          num_expected += static_cast<std::int64_t>(jobs.size());
          if (!scheduler.Submit(*std::move(ticket), jobs).ok()) num_expected -= static_cast<std::int64_t>(jobs.size());
        };
        scheduler.Admit(arrival, submit);
        if (random() % 3 == 0) scheduler.Cancel(*cancellation);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(scheduler.Drain(absl::Seconds(60)));
  EXPECT_EQ(num_done, num_expected);
  EXPECT_GT(num_done, 100);
  EXPECT_EQ(queued_tokens[0], 0);
  EXPECT_EQ(queued_tokens[1], 0);
}

}  // namespace
}  // namespace prefscore
