// SPDX-License-Identifier: Apache-2.0
// The device decoder against double-precision loops, the CPU's decoder and itself, on every device at hand.
#include "server/models/device/device_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "server/models/decoder.h"
#include "server/models/numerics.h"
#include "tests/testing/decoder_shapes.h"
#include "tests/testing/devices.h"
#include "tests/testing/naive_decoder.h"
#include "tests/testing/random_groups.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;
using testing::DecoderShape;
using testing::RandomGroup;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

struct Errors {
  double largest = 0.0;
  double root_mean_square = 0.0;
};

class DeviceDecoderTest : public ::testing::TestWithParam<std::tuple<std::string, DecoderShape>> {
 protected:
  void SetUp() override {
    auto device = testing::OpenDevice(std::get<0>(GetParam()));
    if (!device.ok()) GTEST_SKIP() << Message(device.status());
    device_ = *std::move(device);
    for (int i = 0; i < 5; ++i) groups_.push_back(RandomGroup(random_, 45, config_.vocab_size, 1 + i % 3));
    groups_.push_back(RandomGroup(random_, 120, config_.vocab_size, 2));
  }

  std::shared_ptr<const DeviceLm> Make(const std::string& dtype, const DeviceTiles& tiles = {}) const {
    auto model = MakeDeviceDecoder(device_, config_, weights_->views, dtype, 2, {}, tiles);
    EXPECT_TRUE(model.ok()) << Message(model.status());
    return *model;
  }

  std::vector<GroupTokenLogProbs> Score(const CausalLm& model) const {
    auto results = model.Forward(testing::Pointers(groups_));
    EXPECT_TRUE(results.ok()) << Message(results.status());
    return *std::move(results);
  }

  // Against double-precision loops over the weights as they are, or rounded.
  Errors ErrorsOf(const CausalLm& model) const {
    const auto results = Score(model);
    Errors errors;
    std::size_t count = 0;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (std::size_t c = 0; c < groups_[g].completions.size(); ++c) {
        const std::vector<double> expected =
            testing::NaiveLogProbs(config_, weights_->views, groups_[g].prompt, groups_[g].completions[c]);
        EXPECT_EQ(results[g][c].size(), expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i, ++count) {
          const double error = std::abs(results[g][c][i] - expected[i]);
          EXPECT_TRUE(std::isfinite(error));
          errors.largest = std::max(errors.largest, error);
          errors.root_mean_square += error * error;
        }
      }
    }
    errors.root_mean_square = std::sqrt(errors.root_mean_square / static_cast<double>(count));
    return errors;
  }

  const DecoderConfig& config_ = std::get<1>(GetParam()).config;
  const std::shared_ptr<testing::RandomWeights> weights_ =
      testing::MakeRandomWeights(config_, 11, std::get<1>(GetParam()).with_biases);
  std::mt19937 random_{5};
  std::shared_ptr<Device> device_;
  std::vector<PromptGroup> groups_;
};

// The bound of the CPU's decoder (decoder_test.cc).
TEST_P(DeviceDecoderTest, Float32AgreesWithDoubleLoops) { EXPECT_LT(ErrorsOf(*Make("float32")).largest, 3e-5); }

// Rounding to 8 bits, at more places than on the CPU (projections and keys, too): within twice of its error, which
// decoder_test.cc bounds by 0.5 nats.
TEST_P(DeviceDecoderTest, Bfloat16IsNearDoubleLoops) {
  const Errors errors = ErrorsOf(*Make("bfloat16"));
  EXPECT_LT(errors.largest, 0.5);
  EXPECT_GT(errors.largest, 0.0);
  const auto cpu = MakeDecoder(config_, weights_->views, "bfloat16", 2, {}, weights_);
  if (cpu.ok()) {
    EXPECT_LT(errors.root_mean_square, 2 * ErrorsOf(**cpu).root_mean_square);
  }
}

// Cutting attention, the MLP and the head into pieces moves no bit.
TEST_P(DeviceDecoderTest, TilesMoveNoBit) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    const auto whole = Score(*Make(dtype));
    EXPECT_EQ(Score(*Make(dtype, {.max_mlp_rows = 7, .batch = {.max_chunk_keys = 50, .max_head_rows = 5}})), whole);
  }
}

// A completion has the bits that it has alone, in any batch, at any place.
TEST_P(DeviceDecoderTest, SameBitsAloneAndInAnyBatch) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    const auto model = Make(dtype);
    std::vector<GroupTokenLogProbs> alone(groups_.size());
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (const TokenIds& completion : groups_[g].completions) {
        const PromptGroup group{groups_[g].prompt, {completion}};
        alone[g].push_back((*model->Forward(std::vector<const PromptGroup*>{&group}))[0][0]);
      }
    }
    for (int round = 0; round < 6; ++round) {
      std::vector<PromptGroup> batch;
      std::vector<std::pair<std::size_t, std::vector<std::size_t>>> picked;
      for (int i = 0; i < 1 + round; ++i) {
        const std::size_t g = random_() % groups_.size();
        std::vector<std::size_t> completions(1 + random_() % 3);
        PromptGroup& group = batch.emplace_back(PromptGroup{groups_[g].prompt, {}});
        for (std::size_t& c : completions) {
          c = random_() % groups_[g].completions.size();
          group.completions.push_back(groups_[g].completions[c]);
        }
        picked.emplace_back(g, completions);
      }
      const auto results = model->Forward(testing::Pointers(batch));
      ASSERT_TRUE(results.ok()) << Message(results.status());
      for (std::size_t i = 0; i < picked.size(); ++i) {
        for (std::size_t c = 0; c < picked[i].second.size(); ++c) {
          EXPECT_EQ((*results)[i][c], alone[picked[i].first][picked[i].second[c]]) << dtype << ", group " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, DeviceDecoderTest,
                         ::testing::Combine(::testing::ValuesIn(testing::DeviceNames()),
                                            ::testing::ValuesIn(testing::AllShapes())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::get<1>(info.param).config.architecture;
                         });

}  // namespace
}  // namespace prefscore
