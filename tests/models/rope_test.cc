// SPDX-License-Identifier: Apache-2.0
#include "server/models/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "server/models/packed_batch.h"

namespace prefscore {
namespace {

using Kind = RopeConfig::Kind;

RopeConfig Config(Kind kind, double factor = 1.0) {
  RopeConfig config;
  config.kind = kind;
  config.rotary_dim = 16;
  config.factor = factor;
  config.original_max_positions = 64;
  return config;
}

RopeConfig LongRope() {
  RopeConfig config = Config(Kind::kLongRope, 4.0);
  for (int i = 0; i < 8; ++i) {
    config.short_factor.push_back(1.0 + 0.1 * i);
    config.long_factor.push_back(1.5 + 0.7 * i);
  }
  return config;
}

// The expected numbers are those of transformers 5.23 on fp32 tensors; other instruction sets may move a last bit.
void ExpectFrequencies(const RopeConfig& config, std::int64_t length, const std::vector<float>& inverse, float factor) {
  const RopeFrequencies frequencies = ComputeRopeFrequencies(config, length);
  ASSERT_EQ(frequencies.inverse.size(), inverse.size());
  for (std::size_t i = 0; i < inverse.size(); ++i) EXPECT_FLOAT_EQ(frequencies.inverse[i], inverse[i]) << i;
  EXPECT_FLOAT_EQ(frequencies.attention_factor, factor);
}

TEST(RopeTest, Default) {
  ExpectFrequencies(Config(Kind::kDefault), 1000,
                    {1.0f, 0.316227764f, 0.1f, 0.0316227786f, 0.01f, 0.00316227786f, 0.001f, 0.000316227786f}, 1.0f);
}

TEST(RopeTest, Linear) {
  ExpectFrequencies(
      Config(Kind::kLinear, 2.5), 1000,
      {0.4f, 0.1264911f, 0.04f, 0.0126491114f, 0.004f, 0.00126491114f, 0.0004f, 0.000126491112f}, 1.0f);
}

TEST(RopeTest, DynamicStretchesBeyondTheOriginalLength) {
  const RopeConfig config = Config(Kind::kDynamic, 3.0);
  ExpectFrequencies(config, 64,
                    {1.0f, 0.316227764f, 0.1f, 0.0316227786f, 0.01f, 0.00316227786f, 0.001f, 0.000316227786f}, 1.0f);
  ExpectFrequencies(config, 100,
                    {1.0f, 0.27457723f, 0.0753926486f, 0.0207011048f, 0.00568405166f, 0.00156071107f, 0.000428535714f,
                     0.000117666146f},
                    1.0f);
}

TEST(RopeTest, Llama3) {
  ExpectFrequencies(Config(Kind::kLlama3, 8.0), 1000,
                    {1.0f, 0.244384587f, 0.0130422562f, 0.00395284733f, 0.00125f, 0.000395284733f, 0.000125f,
                     3.95284733e-05f},
                    1.0f);
}

TEST(RopeTest, Yarn) {
  RopeConfig config = Config(Kind::kYarn, 4.0);
  ExpectFrequencies(config, 1000,
                    {1.0f, 0.237170815f, 0.05f, 0.00790569466f, 0.0025f, 0.000790569466f, 0.00025f, 7.90569466e-05f},
                    1.13862944f);
  config.mscale = 1.2;
  config.mscale_all_dim = 0.8;
  config.beta_fast = 16.0;
  config.beta_slow = 2.0;
  config.truncate = false;
  ExpectFrequencies(config, 1000,
                    {1.0f, 0.14849025f, 0.025f, 0.00790569466f, 0.0025f, 0.000790569466f, 0.00025f, 7.90569466e-05f},
                    1.04991592f);
  config.attention_factor = 0.5;
  EXPECT_EQ(ComputeRopeFrequencies(config, 1).attention_factor, 0.5f);
}

TEST(RopeTest, LongRopeChoosesByLength) {
  ExpectFrequencies(LongRope(), 64,
                    {1.0f, 0.287479758f, 0.0833333358f, 0.0243252143f, 0.00714285718f, 0.00210818532f, 0.000624999986f,
                     0.000186016332f},
                    1.15470054f);
  ExpectFrequencies(LongRope(), 65,
                    {0.666666687f, 0.143739879f, 0.0344827585f, 0.00878410507f, 0.00232558115f, 0.000632455572f,
                     0.000175438603f, 4.94105916e-05f},
                    1.15470054f);
}

TEST(RopeTest, EqualKeysMeanEqualFrequencies) {
  for (const RopeConfig& config : {Config(Kind::kDefault), Config(Kind::kDynamic, 2.0), LongRope()}) {
    for (const std::int64_t a : {1, 63, 64, 65, 66, 200}) {
      for (const std::int64_t b : {1, 63, 64, 65, 66, 200}) {
        const bool same = ComputeRopeFrequencies(config, a).inverse == ComputeRopeFrequencies(config, b).inverse;
        EXPECT_EQ(RopeLengthKey(config, a) == RopeLengthKey(config, b), same) << a << " " << b;
      }
    }
  }
}

TEST(RopeTest, RotatesTheStartOfAHead) {
  RopeConfig config = Config(Kind::kDefault);
  config.rotary_dim = 4;
  const RopeTable table(config, 10, 10);
  std::vector<float> head = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f};
  table.Rotate(7, head.data());
  EXPECT_NEAR(head[0], std::cos(7.0) - 3.0 * std::sin(7.0), 1e-6);
  EXPECT_NEAR(head[2], 3.0 * std::cos(7.0) + std::sin(7.0), 1e-6);
  EXPECT_NEAR(head[1], 2.0 * std::cos(0.07) - 4.0 * std::sin(0.07), 1e-6);
  EXPECT_NEAR(head[3], 4.0 * std::cos(0.07) + 2.0 * std::sin(0.07), 1e-6);
  EXPECT_EQ(head[4], 5.0f);
  EXPECT_EQ(head[5], 6.0f);
}

}  // namespace
}  // namespace prefscore
