// SPDX-License-Identifier: Apache-2.0
// What a device throws becomes a status, and leaves the model as it was, or says that it is gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>

#include "server/models/device/device_decoder.h"
#include "server/models/device/host_device.h"
#include "server/models/device/same_bits_check.h"
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

// That rows could not be compared says nothing about them: the load fails, and no model calls itself batch-dependent.
TEST_F(DeviceFaultsTest, ACheckThatCannotBeMadeFailsTheLoad) {
  device_->rows_are_independent = false;
  device_->on_mat_mul = [] { throw DeviceError("cublasLtMatmul: a fault"); };
  const auto model = Make();
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(Message(model.status()), HasSubstr("the product with query_key_value ["));
  EXPECT_THAT(Message(model.status()), HasSubstr("could not be checked: cublasLtMatmul: a fault"));
  device_->on_mat_mul = [] { throw std::bad_alloc(); };
  EXPECT_EQ(Make().status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(DeviceFaultsTest, ALaterCheckTellsAFaultFromADifference) {
  device_->rows_are_independent = false;
  device_->odd_num_rows = 0;
  const auto model = *Make();
  EXPECT_TRUE(model->info().same_bits_verified);
  EXPECT_TRUE(model->CheckSameBits().ok());
  device_->on_mat_mul = [] { throw DeviceError("cublasLtMatmul: a fault"); };
  EXPECT_EQ(model->CheckSameBits().code(), absl::StatusCode::kInternal);
  device_->on_mat_mul = [] {};
  device_->odd_num_rows = 17;
  EXPECT_EQ(model->CheckSameBits().code(), absl::StatusCode::kFailedPrecondition);
}

// Large batches take other routes through a library than small ones: they are compared, too, up to the largest.
TEST_F(DeviceFaultsTest, RowsThatDependOnALargeBatchAreFound) {
  const std::vector<float> weight(2 * 3, 0.5f);
  const MatMulShape shape{.num_in = 3, .num_out = 2, .weight = weight.data(), .name = "down"};
  device_->rows_are_independent = false;
  for (const std::int64_t rows : {4097, 10000, 16384}) {
    device_->odd_num_rows = rows;
    const absl::Status verdict = CheckRowsAreIndependent(*device_, kernels::ElementType::kFloat32, shape, 16384);
    EXPECT_EQ(verdict.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(verdict), HasSubstr("down [2][3] of rows [0, " + std::to_string(rows) + ") has other bits"));
  }
  device_->odd_num_rows = 16385;
  EXPECT_TRUE(CheckRowsAreIndependent(*device_, kernels::ElementType::kFloat32, shape, 16384).ok());
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
