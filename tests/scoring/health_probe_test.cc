// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/health_probe.h"

#include <atomic>
#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "server/scoring/scorer.h"
#include "tests/testing/fake_model.h"

namespace prefscore {
namespace {

class HealthProbeTest : public ::testing::Test {
 protected:
  HealthProbeTest() {
    lm_->CheckWith([this](std::span<const PromptGroup* const> groups) {
      if (groups.front()->num_tokens() == 2) ++num_probes_;
      return is_broken_ ? fault_ : absl::OkStatus();
    });
    scorer_.device_health().Watch([this](bool is_healthy) {
      absl::MutexLock lock(&mutex_);
      is_healthy_ = is_healthy;
    });
  }

  ~HealthProbeTest() override { scorer_.device_health().Watch(nullptr); }

  // One call that fails.
  void Fail() {
    PairOptions options;
    options.policy = &models_[0];
    options.objectives = {*Objective::Create({.name = "simpo"})};
    absl::Notification done;
    scorer_.ScorePairs({{.content = PromptGroup{{1}, {{2}, {3}}}, .known = {}}}, options, {},
                       [&](const absl::Status& status, const PairOutcomes& outcomes) {
                         EXPECT_TRUE(status.ok());
                         EXPECT_FALSE(outcomes.pairs.front().status.ok());
                         done.Notify();
                       });
    done.WaitForNotification();
  }

  void WaitUntilHealthIs(bool is_healthy) {
    absl::MutexLock lock(&mutex_);
    const auto is_reached = [&] {
      mutex_.AssertHeld();
      return is_healthy_ == is_healthy;
    };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&is_reached), absl::Seconds(60)));
  }

  absl::Status fault_ = absl::InternalError("broken");  // set before the first pass
  std::atomic<bool> is_broken_{true};
  std::atomic<int> num_probes_{0};
  absl::Mutex mutex_;
  bool is_healthy_ = false;
  const std::shared_ptr<testing::FakeModel> lm_ = std::make_shared<testing::FakeModel>("p");
  const std::vector<HostedModel> models_ = {{.name = "policy", .lm = lm_, .tokenizer = nullptr},
                                            {.name = "twin", .lm = lm_, .tokenizer = nullptr}};
  Scorer scorer_{{}, {}};
};

TEST_F(HealthProbeTest, FindsOutThatTheDeviceHasRecoveredThoughNobodyCalls) {
  for (int i = 0; i < DeviceHealth::kFailedBatches; ++i) Fail();
  WaitUntilHealthIs(false);
  const HealthProbe probe(scorer_.scheduler(), scorer_.device_health(), models_, absl::Milliseconds(1));
  while (num_probes_ < 3) absl::SleepFor(absl::Milliseconds(1));
  WaitUntilHealthIs(false);
  is_broken_ = false;
  WaitUntilHealthIs(true);
  EXPECT_FALSE(scorer_.device_health().is_in_doubt());
}

TEST_F(HealthProbeTest, SettlesWhetherMemoryIsShortForAllOrWasForOne) {
  fault_ = absl::ResourceExhaustedError("no memory");
  for (int i = 0; i < 2 * DeviceHealth::kFailedBatches; ++i) Fail();
  WaitUntilHealthIs(true);
  ASSERT_TRUE(scorer_.device_health().is_in_doubt());
  const HealthProbe probe(scorer_.scheduler(), scorer_.device_health(), models_, absl::Milliseconds(1));
  WaitUntilHealthIs(false);
  is_broken_ = false;
  WaitUntilHealthIs(true);
}

TEST_F(HealthProbeTest, LeavesAHealthyDeviceAlone) {
  is_broken_ = false;
  {
    const HealthProbe probe(scorer_.scheduler(), scorer_.device_health(), models_, absl::Milliseconds(1));
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_EQ(num_probes_, 0);
}

}  // namespace
}  // namespace prefscore
