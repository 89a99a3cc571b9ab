// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/weight_uploader.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>

#include "server/models/weight_reader.h"
#include "tests/testing/devices.h"

namespace prefscore {
namespace {

class WeightUploaderTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto device = testing::OpenDevice(GetParam());
    if (!device.ok()) GTEST_SKIP() << std::string(device.status().message());
    device_ = *std::move(device);
    device_->Enter();
    std::mt19937 random(1);
    bytes_.resize(1 << 16);
    // Halves of every kind would be NaN now and then: keep exponents small in both 16-bit types and in fp32.
    for (std::byte& byte : bytes_) byte = static_cast<std::byte>(random() & 0x3B);
  }

  // The matrix as the device has it, widened to fp32.
  std::vector<float> Read(const DeviceBuffer& buffer, Precision precision) {
    const DeviceBuffer pinned(*device_, DeviceBuffer::Kind::kPinned, buffer.num_bytes());
    device_->CopyOut(buffer.data(), buffer.num_bytes(), pinned.data());
    const auto event = device_->MakeEvent();
    event->Record();
    event->Wait();
    std::vector<float> values(buffer.num_bytes() / kernels::SizeOf(ElementTypeOf(precision)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = precision == Precision::kFloat32
                      ? pinned.data<float>()[i]
                      : std::bit_cast<float>(static_cast<std::uint32_t>(pinned.data<std::uint16_t>()[i]) << 16);
    }
    return values;
  }

  static std::vector<float> Expected(std::span<const WeightView> parts, Precision precision) {
    std::vector<float> values;
    for (const WeightView& part : parts) {
      for (std::int64_t row = 0; row < part.num_out; ++row) {
        values.resize(values.size() + part.num_in);
        ReadWeightRow(part, row, precision, values.data() + values.size() - part.num_in);
      }
    }
    return values;
  }

  // Through staging of some sizes, all smaller than the matrix.
  void CheckMatrix(std::span<const WeightView> parts) {
    const std::lock_guard queue(device_->queue_mutex());
    for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16}) {
      const std::vector<float> expected = Expected(parts, precision);
      for (const std::int64_t staging_bytes : {1, 100, 1000, 1 << 20}) {
        WeightUploader uploader(*device_, precision, 2, staging_bytes);
        EXPECT_EQ(Read(uploader.Matrix(parts), precision), expected) << staging_bytes;
      }
    }
  }

  std::vector<std::byte> bytes_;
  std::shared_ptr<Device> device_;
};

TEST_P(WeightUploaderTest, CastsEveryType) {
  for (const DType dtype : {DType::kFloat32, DType::kBfloat16, DType::kFloat16}) {
    const WeightView view{.data = bytes_.data(), .dtype = dtype, .num_out = 37, .num_in = 29, .out_stride = 29};
    CheckMatrix(std::span(&view, 1));
  }
}

TEST_P(WeightUploaderTest, TakesUnalignedAndTransposedAndRowRanges) {
  const WeightView unaligned{.data = bytes_.data() + 1, .num_out = 20, .num_in = 31, .out_stride = 31};
  CheckMatrix(std::span(&unaligned, 1));
  const WeightView transposed{.data = bytes_.data(), .num_out = 20, .num_in = 31, .out_stride = 1, .in_stride = 20};
  CheckMatrix(std::span(&transposed, 1));
  // GPT-2's c_attn: keys are the columns from 20 on of a [31][60] matrix.
  const WeightView columns{
      .data = bytes_.data() + 20 * 4, .num_out = 20, .num_in = 31, .out_stride = 1, .in_stride = 60};
  CheckMatrix(std::span(&columns, 1));
}

TEST_P(WeightUploaderTest, JoinsPartsAndPadsWithZeros) {
  const WeightView parts[] = {
      {.data = bytes_.data(), .dtype = DType::kBfloat16, .num_out = 20, .num_in = 24, .out_stride = 24},
      {.data = bytes_.data() + 2000, .num_out = 8, .num_in = 24, .out_stride = 1, .in_stride = 8},
  };
  CheckMatrix(parts);
  const std::lock_guard queue(device_->queue_mutex());
  WeightUploader uploader(*device_, Precision::kFloat32, 2);
  std::vector<float> expected = Expected(parts, Precision::kFloat32);
  expected.resize(32 * 24, 0.0f);
  EXPECT_EQ(Read(uploader.Matrix(parts, 32), Precision::kFloat32), expected);
}

TEST_P(WeightUploaderTest, BiasesOfWhichSomeAreMissing) {
  const std::lock_guard queue(device_->queue_mutex());
  WeightUploader uploader(*device_, Precision::kFloat32, 2);
  const WeightView weight{.data = bytes_.data(), .num_out = 3, .num_in = 2, .out_stride = 2};
  const WeightView bias{.data = bytes_.data(), .num_out = 1, .num_in = 3, .out_stride = 3};
  const LinearView parts[] = {{.weight = weight, .bias = {}}, {.weight = weight, .bias = bias}};
  std::vector<float> expected(3, 0.0f);
  for (const float value : ReadWeightVector(bias, Precision::kFloat32)) expected.push_back(value);
  EXPECT_EQ(Read(uploader.Biases(parts), Precision::kFloat32), expected);
  EXPECT_EQ(uploader.Biases(std::span(parts, 1)).data(), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Devices, WeightUploaderTest, ::testing::ValuesIn(testing::DeviceNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace prefscore
