// SPDX-License-Identifier: Apache-2.0
// The device decoder against double-precision loops, the CPU's decoder and itself, on every device at hand.
#include "server/models/device/device_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

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
        EXPECT_EQ(results[g][c].token_logps.size(), expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i, ++count) {
          const double error = std::abs(results[g][c].token_logps[i] - expected[i]);
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
  const auto cpu = MakeDecoder(config_, weights_->views, "bfloat16", 2, {});
  if (cpu.ok()) {
    EXPECT_LT(errors.root_mean_square, 2 * ErrorsOf(**cpu).root_mean_square);
  }
}

// Cutting attention, the MLP and the head into pieces moves no bit.
TEST_P(DeviceDecoderTest, TilesMoveNoBit) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    const auto whole = Score(*Make(dtype));
    EXPECT_EQ(Score(*Make(dtype, {.max_matmul_rows = 7, .batch = {.max_chunk_keys = 50, .max_head_rows = 5}})), whole);
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

// The device's own check of the matrix products, which the property above rests on.
TEST_P(DeviceDecoderTest, ChecksItsMatrixProducts) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    // The CPU's loops would take long over the largest products.
    const auto model = Make(dtype, {.max_matmul_rows = device_->rows_are_independent_by_construction() ? 777 : 16384});
    EXPECT_TRUE(model->CheckSameBits().ok());
  }
}

// More threads than there is pinned memory for batches.
TEST_P(DeviceDecoderTest, ManyThreadsGetTheirOwnResults) {
  const auto model = Make("bfloat16");
  const auto expected = Score(*model);
  std::vector<std::thread> threads;
  std::atomic<int> num_right = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 6; ++i) {
        const std::size_t g = (t + i) % groups_.size();
        const auto result = model->Forward(std::vector<const PromptGroup*>{&groups_[g]});
        num_right += result.ok() && (*result)[0] == expected[g];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_right, 8 * 6);
}

class LlamaDeviceTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto device = testing::OpenDevice(GetParam());
    if (!device.ok()) GTEST_SKIP() << Message(device.status());
    device_ = *std::move(device);
  }

  std::shared_ptr<const DeviceLm> Make(const DecoderConfig& config) const {
    ModelInfo info;
    info.digest = "d";
    auto model = MakeDeviceDecoder(device_, config, weights_->views, "float32", 2, std::move(info));
    EXPECT_TRUE(model.ok()) << Message(model.status());
    return *model;
  }

  const DecoderConfig config_ = testing::LlamaShape().config;
  const std::shared_ptr<testing::RandomWeights> weights_ = testing::MakeRandomWeights(config_, 1);
  std::shared_ptr<Device> device_;
};

// Completions that attend to a broken one's rows would be infected.
TEST_P(LlamaDeviceTest, NonFiniteNumbersStayInTheirGroup) {
  std::vector<float>& embedding = weights_->buffers.front();
  for (int i = 0; i < 48; ++i) embedding[7 * 48 + i] = std::numeric_limits<float>::quiet_NaN();
  const auto model = Make(config_);
  const PromptGroup good{{1, 2, 3}, {{4, 5, 6}, {8, 9}}}, bad{{1, 2, 7}, {{4, 5, 6}, {8, 9}}};
  const auto alone = model->Forward(std::vector<const PromptGroup*>{&good});
  const auto mixed = model->Forward(std::vector<const PromptGroup*>{&bad, &good, &bad});
  EXPECT_EQ((*mixed)[1], (*alone)[0]);
  EXPECT_TRUE(std::isnan((*mixed)[0][0].token_logps[0]));
  EXPECT_TRUE(std::isnan((*mixed)[2][1].token_logps[1]));
}

TEST_P(LlamaDeviceTest, ProbabilitiesOfAllTokensAddUpToOne) {
  PromptGroup group{{1, 2, 3}, {}};
  for (TokenId token = 0; token < config_.vocab_size; ++token) group.completions.push_back({token});
  const auto results = Make(config_)->Forward(std::vector<const PromptGroup*>{&group});
  double sum = 0.0, largest = -1e300;
  for (const auto& completion : (*results)[0]) {
    sum += std::exp(completion.token_logps[0]);
    largest = std::max(largest, completion.token_logps[0]);
  }
  EXPECT_NEAR(sum, 1.0, 1e-6);
  for (const auto& completion : (*results)[0]) {
    EXPECT_EQ(completion.is_greedy_match, completion.token_logps[0] == largest) << "no two are alike here";
  }
}

TEST_P(LlamaDeviceTest, GroupWithoutCompletionsHasNoResults) {
  const auto model = Make(config_);
  const PromptGroup empty{{1, 2}, {}}, full{{1}, {{2}}};
  const auto results = model->Forward(std::vector<const PromptGroup*>{&empty, &full});
  ASSERT_TRUE(results.ok());
  EXPECT_EQ((*results)[0].size(), 0u);
  EXPECT_EQ((*results)[1].size(), 1u);
  EXPECT_EQ(model->Forward({})->size(), 0u);
}

TEST_P(LlamaDeviceTest, RefusesBadGroupsByName) {
  const PromptGroup bad{{1}, {{307}}};
  const auto results = Make(config_)->Forward(std::vector<const PromptGroup*>{&bad});
  EXPECT_EQ(results.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(results.status()), HasSubstr("token id 307 is not below the vocabulary size 307"));
}

TEST_P(LlamaDeviceTest, RefusesWhatItCannotRunByName) {
  DecoderWeightViews views = weights_->views;
  views.head.bias = {.data = views.head.weight.data, .num_out = 1, .num_in = config_.vocab_size};
  const auto model = MakeDeviceDecoder(device_, config_, views, "float32", 1, {});
  EXPECT_EQ(model.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(Message(model.status()), HasSubstr("head has a bias"));
  DecoderConfig config = testing::LlamaConfig(1, 520, 1, 1, 8, 9);  // one head of 520
  const auto wide = testing::MakeRandomWeights(config, 1);
  EXPECT_THAT(Message(MakeDeviceDecoder(device_, config, wide->views, "float32", 1, {}).status()),
              HasSubstr("head_dim is 520, over 512"));
  EXPECT_THAT(Message(MakeDeviceDecoder(device_, config_, weights_->views, "float8", 1, {}).status()),
              HasSubstr("'float8'"));
}

TEST_P(LlamaDeviceTest, NamesDeviceAndTypeInItsNumerics) {
  const ModelInfo& info = Make(config_)->info();
  EXPECT_EQ(info.numerics_mode.find(GetParam()), 0u) << info.numerics_mode;
  EXPECT_THAT(info.numerics_mode, HasSubstr("-float32-1"));
  EXPECT_EQ(info.dtype, "float32");
  EXPECT_EQ(info.digest, "d");
}

INSTANTIATE_TEST_SUITE_P(Devices, LlamaDeviceTest, ::testing::ValuesIn(testing::DeviceNames()),
                         [](const auto& info) { return info.param; });

INSTANTIATE_TEST_SUITE_P(Shapes, DeviceDecoderTest,
                         ::testing::Combine(::testing::ValuesIn(testing::DeviceNames()),
                                            ::testing::ValuesIn(testing::AllShapes())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::get<1>(info.param).config.architecture;
                         });

}  // namespace
}  // namespace prefscore
