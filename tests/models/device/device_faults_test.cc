// SPDX-License-Identifier: Apache-2.0
// What a device throws becomes a status, and leaves the model as it was, or says that it is gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>

#include "server/models/device/device_decoder.h"
#include "server/models/device/host_device.h"
#include "tests/testing/decoder_shapes.h"
#include "tests/testing/faulty_device.h"

namespace prefscore {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class DeviceFaultsTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const DeviceLm>> Make() {
    return MakeDeviceDecoder(device_, config_, weights_->views, "bfloat16", 2, {});
  }
  static absl::StatusOr<std::vector<GroupTokenLogProbs>> Score(const CausalLm& model) {
    static const PromptGroup group{{1, 2, 3}, {{4, 5}, {6}}};
    return model.Forward(std::vector<const PromptGroup*>{&group});
  }
  static std::string Message(const absl::Status& status) { return std::string(status.message()); }

  const DecoderConfig config_ = testing::LlamaShape().config;
  const std::shared_ptr<testing::RandomWeights> weights_ = testing::MakeRandomWeights(config_, 1);
  const std::shared_ptr<testing::FaultyDevice> device_ = std::make_shared<testing::FaultyDevice>(MakeHostDevice());
};

// More often than there are slots for batches: a failed batch gives its own back.
TEST_F(DeviceFaultsTest, APassingFaultIsOneCallsError) {
  const auto model = *Make();
  const auto expected = *Score(*model);
  for (int i = 0; i < 8; ++i) {
    device_->on_mat_mul = [] { throw DeviceError("cublasLtMatmul: not supported"); };
    const auto failed = Score(*model);
    EXPECT_EQ(failed.status().code(), absl::StatusCode::kInternal);
    EXPECT_THAT(Message(failed.status()), HasSubstr("cublasLtMatmul: not supported"));
    device_->on_mat_mul = [] {};
    EXPECT_EQ(*Score(*model), expected);
  }
}

TEST_F(DeviceFaultsTest, OutOfMemoryIsResourceExhausted) {
  const auto model = *Make();
  device_->on_allocate = [] { throw std::bad_alloc(); };
  EXPECT_EQ(Score(*model).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Make().status().code(), absl::StatusCode::kResourceExhausted);
  device_->on_allocate = [] {};
  EXPECT_TRUE(Score(*model).ok());
}

TEST_F(DeviceFaultsTest, ALostDeviceIsUnavailableFromThenOn) {
  const auto model = *Make();
  device_->is_lost = true;
  device_->on_wait = [] { throw DeviceError("cudaEventSynchronize: an illegal memory access was encountered"); };
  EXPECT_EQ(Score(*model).status().code(), absl::StatusCode::kUnavailable);
  device_->on_wait = [] {};
  EXPECT_EQ(Score(*model).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(Score(*model).status()), HasSubstr("device is lost"));
  EXPECT_EQ(Make().status().code(), absl::StatusCode::kUnavailable);
}

// The check finds a library that sums 17 rows in another order, and the model's numerics say so.
TEST_F(DeviceFaultsTest, RowsThatDependOnTheirBatchAreFoundAndNamed) {
  device_->rows_are_independent = false;
  const auto model = *Make();
  EXPECT_EQ(model->same_bits().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(model->info().same_bits_verified);
  EXPECT_THAT(Message(model->same_bits()), HasSubstr("other bits within 17 rows"));
  EXPECT_THAT(model->info().numerics_mode, EndsWith("-batch-dependent"));
}

}  // namespace
}  // namespace prefscore
