// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/calibration.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/scoring/group_job.h"
#include "server/scoring/job_cost.h"
#include "tests/testing/fake_model.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;

// Passes take what `cost` says, on a clock that only they move.
class CalibrationTest : public ::testing::Test {
 protected:
  // Until this many models are measured.
  void Run(const CostCoefficients& cost, absl::Duration budget, std::size_t num_measured = 2) {
    SchedulerOptions options;
    options.now = [this] { return absl::UnixEpoch() + absl::Nanoseconds(now_ns_.load()); };
    Scheduler scheduler(options, [&](const std::vector<JobPtr>& jobs) {
      EXPECT_EQ(jobs.size(), 1u);
      PassRunner runner;
      RunGroupJobs(jobs, runner, [](auto&) {});
      if (!jobs.front()->status.ok()) return std::vector<PassTime>();
      const ModelWork& work = jobs.front()->work.front();
      const double seconds = cost.seconds_per_forward + cost.MarginalSeconds(work.work);
      now_ns_ += static_cast<std::int64_t>(1e9 * seconds);
      spent_seconds_ += seconds;
      return std::vector<PassTime>{{work.model, work.work, seconds}};
    });
    absl::Notification done;
    Calibrate(scheduler, models_, {.budget = budget, .on_fitted = [&](const HostedModel& model, const auto& fitted) {
                                     fitted_.push_back(fitted);
                                     names_.push_back(model.name);
                                     if (names_.size() == num_measured) done.Notify();
                                   }});
    done.WaitForNotification();
  }

  static HostedModel Model(const std::string& name, std::shared_ptr<testing::FakeModel> lm) {
    lm->mutable_info().max_context_tokens = 1000;
    return {.name = name, .lm = std::move(lm), .tokenizer = nullptr};
  }

  const std::shared_ptr<testing::FakeModel> policy_ = std::make_shared<testing::FakeModel>("p");
  const std::vector<HostedModel> models_ = {
      Model("policy", policy_), Model("twin", policy_), Model("reference", std::make_shared<testing::FakeModel>("r"))};
  std::atomic<std::int64_t> now_ns_{0};
  double spent_seconds_ = 0;
  std::vector<CostCoefficients> fitted_;
  std::vector<std::string> names_;
};

TEST_F(CalibrationTest, FindsWhatASmallModelCosts) {
  const CostCoefficients cost{1e-5, 2e-8, 3e-6, 1e-4};
  Run(cost, absl::Milliseconds(500));
  EXPECT_THAT(names_, ElementsAre("policy", "reference")) << "the same weights are measured once";
  EXPECT_NEAR(fitted_[0].seconds_per_token, cost.seconds_per_token, 0.01 * cost.seconds_per_token);
  EXPECT_NEAR(fitted_[0].seconds_per_attended_position, cost.seconds_per_attended_position,
              0.01 * cost.seconds_per_attended_position);
  EXPECT_NEAR(fitted_[0].seconds_per_head_row, cost.seconds_per_head_row, 0.02 * cost.seconds_per_head_row);
  EXPECT_NEAR(fitted_[0].seconds_per_forward, cost.seconds_per_forward, 0.01 * cost.seconds_per_forward);
  EXPECT_LT(spent_seconds_, 0.5);
}

TEST_F(CalibrationTest, ALargeModelIsMeasuredWithFewSmallPasses) {
  Run({.seconds_per_token = 5e-3, .seconds_per_head_row = 1e-3, .seconds_per_forward = 0.05}, absl::Milliseconds(500));
  EXPECT_LT(spent_seconds_, 1.5);
  // A pair of 300 rows, 100 of them head rows.
  const ForwardWork pair{300, 0, 100};
  EXPECT_NEAR(fitted_[0].MarginalSeconds(pair) + fitted_[0].seconds_per_forward, 1.65, 0.2);
}

TEST_F(CalibrationTest, AModelThatFailsKeepsNoOtherFromBeingMeasured) {
  policy_->FailWith(absl::ResourceExhaustedError("out of memory"));
  Run({.seconds_per_token = 1e-5}, absl::Milliseconds(500), 1);
  EXPECT_THAT(names_, ElementsAre("reference"));
}

}  // namespace
}  // namespace prefscore
