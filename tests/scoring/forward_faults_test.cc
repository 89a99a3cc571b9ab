// SPDX-License-Identifier: Apache-2.0
// A real decoder on a device that fails: a batch fails by itself, whatever waits behind it is scored.
#include <atomic>
#include <memory>
#include <new>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/models/device/device_decoder.h"
#include "server/models/device/host_device.h"
#include "server/scoring/scorer.h"
#include "server/util/error_reason.h"
#include "tests/testing/decoder_shapes.h"
#include "tests/testing/faulty_device.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

constexpr TokenId kNumPairs = 5;

class ForwardFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const DecoderConfig config = testing::LlamaShape().config;
    const auto weights = testing::MakeRandomWeights(config, 1);
    ModelInfo info;
    info.vocab_size = config.vocab_size;
    info.max_context_tokens = config.max_context_tokens;
    auto lm = MakeDeviceDecoder(device_, config, weights->views, "float32", 1, info);
    ASSERT_TRUE(lm.ok()) << lm.status();
    model_ = {.name = "policy", .lm = *std::move(lm), .tokenizer = nullptr};
  }

  // kNumPairs pairs of one call.
  std::vector<PairOutcome> Score(std::int64_t max_batch_tokens) {
    ScorerOptions options;
    options.scheduler.batch.max_tokens = max_batch_tokens;
    ScorerObserver observer;
    observer.on_out_of_memory = [this](auto&) { ++num_out_of_memory_; };
    Scorer scorer(options, observer);
    PairOptions pair_options;
    pair_options.policy = &model_;
    pair_options.objectives = {*Objective::Create({.name = "simpo"})};
    std::vector<PairRequest> pairs;
    for (TokenId id = 0; id < kNumPairs; ++id) pairs.push_back({.content = PromptGroup{{1, id}, {{2, id}, {3}}}, .known = {}});
    std::vector<PairOutcome> outcomes;
    absl::Notification done;
    scorer.ScorePairs(std::move(pairs), pair_options, {}, [&](absl::Status status, PairOutcomes found) {
      EXPECT_TRUE(status.ok()) << status;
      outcomes = std::move(found.pairs);
      done.Notify();
    });
    done.WaitForNotification();
    scorer.Drain(absl::Seconds(60));
    return outcomes;
  }

  void FailNextPass() {
    num_faults_ = 1;
    device_->on_mat_mul = [this] {
      if (num_faults_.exchange(0) > 0) throw DeviceError("the device stumbles");
    };
  }

  static void ExpectSame(const PairOutcome& outcome, const PairOutcome& expected) {
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.inputs.logps.policy_chosen_logp, expected.inputs.logps.policy_chosen_logp);
    EXPECT_EQ(outcome.inputs.logps.policy_rejected_logp, expected.inputs.logps.policy_rejected_logp);
  }

  const std::shared_ptr<testing::FaultyDevice> device_ = std::make_shared<testing::FaultyDevice>(MakeHostDevice());
  std::atomic<int> num_faults_{0};
  std::atomic<int> num_out_of_memory_{0};
  HostedModel model_;
};

TEST_F(ForwardFaultsTest, ABatchFailsByItself) {
  const std::vector<PairOutcome> expected = Score(1 << 20);
  FailNextPass();
  const std::vector<PairOutcome> outcomes = Score(1);  // each pair is a batch
  EXPECT_EQ(outcomes[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(outcomes[0].status.message()), HasSubstr("the device stumbles"));
  for (TokenId id = 1; id < kNumPairs; ++id) ExpectSame(outcomes[id], expected[id]);
}

TEST_F(ForwardFaultsTest, JobsOfAFailedBatchAreTriedAlone) {
  const std::vector<PairOutcome> expected = Score(1 << 20);
  FailNextPass();
  const std::vector<PairOutcome> outcomes = Score(1 << 20);
  for (TokenId id = 0; id < kNumPairs; ++id) ExpectSame(outcomes[id], expected[id]);
}

TEST_F(ForwardFaultsTest, ABatchThatMemoryDoesNotDoForIsHalvedToTheSameBits) {
  const std::vector<PairOutcome> expected = Score(1 << 20);
  num_faults_ = 3;
  device_->on_mat_mul = [this] {
    if (num_faults_ > 0 && num_faults_-- > 0) throw std::bad_alloc();
  };
  const std::vector<PairOutcome> outcomes = Score(1 << 20);
  EXPECT_EQ(num_out_of_memory_, 3);
  for (TokenId id = 0; id < kNumPairs; ++id) ExpectSame(outcomes[id], expected[id]);
}

TEST_F(ForwardFaultsTest, AFaultOfMemoryOrALostDeviceIsNoFullQueueAndNoShutdown) {
  device_->on_mat_mul = [] { throw std::bad_alloc(); };
  for (const PairOutcome& outcome : Score(1)) {
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReasonOf(outcome.status), kOutOfMemoryReason);
  }
  device_->is_lost = true;
  for (const PairOutcome& outcome : Score(1)) EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace prefscore
