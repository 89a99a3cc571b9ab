// SPDX-License-Identifier: Apache-2.0
#include "server/models/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <random>

#include "server/models/numerics.h"
#include "tests/testing/decoder_shapes.h"
#include "tests/testing/naive_decoder.h"
#include "tests/testing/random_groups.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;
using testing::DecoderShape;
using testing::RandomGroup;
using testing::RandomWeights;

std::shared_ptr<const CausalLm> Make(const DecoderConfig& config, const std::shared_ptr<RandomWeights>& weights,
                                     const std::string& dtype = "float32", int num_threads = 2) {
  auto model = MakeDecoder(config, weights->views, dtype, num_threads, {});
  EXPECT_TRUE(model.ok()) << std::string(model.status().message());
  return *model;
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

class DecoderShapeTest : public ::testing::TestWithParam<DecoderShape> {
 protected:
  // Largest difference to double-precision loops over some groups.
  double LargestError(const std::string& dtype) {
    const DecoderConfig& config = GetParam().config;
    const auto weights = testing::MakeRandomWeights(config, 11, GetParam().with_biases);
    const auto model = Make(config, weights, dtype);
    std::mt19937 random(5);
    std::vector<PromptGroup> groups;
    for (int i = 0; i < 5; ++i) groups.push_back(RandomGroup(random, 45, config.vocab_size, 1 + i % 3));
    const auto results = model->Forward(testing::Pointers(groups));
    EXPECT_TRUE(results.ok()) << Message(results.status());
    double largest = 0.0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (std::size_t c = 0; c < groups[g].completions.size(); ++c) {
        const std::vector<double> expected =
            testing::NaiveLogProbs(config, weights->views, groups[g].prompt, groups[g].completions[c]);
        EXPECT_EQ((*results)[g][c].token_logps.size(), expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
          largest = std::max(largest, std::abs((*results)[g][c].token_logps[i] - expected[i]));
        }
      }
    }
    return largest;
  }
};

TEST_P(DecoderShapeTest, Float32AgreesWithDoubleLoops) { EXPECT_LT(LargestError("float32"), 3e-5); }

// A bfloat16 has 8 bits; the log-probs of these models spread over more than 5 nats.
TEST_P(DecoderShapeTest, Bfloat16IsNear) {
  if (!NumericsMode(Precision::kBfloat16).ok()) GTEST_SKIP() << "no bfloat16 on this CPU";
  EXPECT_LT(LargestError("bfloat16"), 0.5);
}

INSTANTIATE_TEST_SUITE_P(Shapes, DecoderShapeTest, ::testing::ValuesIn(testing::AllShapes()),
                         [](const auto& shape) { return shape.param.config.architecture; });

class DecoderTest : public ::testing::Test {
 protected:
  const DecoderConfig config_ = testing::LlamaShape().config;
  const std::shared_ptr<RandomWeights> weights_ = testing::MakeRandomWeights(config_, 1);
};

// The test data is worth something: an early token moves later log-probs.
TEST_F(DecoderTest, EarlyTokensMatter) {
  const auto model = Make(config_, weights_);
  std::mt19937 random(3);
  PromptGroup group{TokenIds(20), {TokenIds(20)}};
  for (TokenId& token : group.prompt) token = random() % config_.vocab_size;
  for (TokenId& token : group.completions[0]) token = random() % config_.vocab_size;
  PromptGroup changed = group;
  changed.prompt[0] = (changed.prompt[0] + 1) % config_.vocab_size;
  const auto results = model->Forward(std::vector<const PromptGroup*>{&group, &changed});
  EXPECT_GT(std::abs((*results)[0][0].token_logps.back() - (*results)[1][0].token_logps.back()), 0.01);
}

TEST_F(DecoderTest, ProbabilitiesOfAllTokensAddUpToOne) {
  const auto model = Make(config_, weights_);
  PromptGroup group{{1, 2, 3}, {}};
  for (TokenId token = 0; token < config_.vocab_size; ++token) group.completions.push_back({token});
  const auto results = model->Forward(std::vector<const PromptGroup*>{&group});
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

TEST_F(DecoderTest, GroupWithoutCompletionsHasNoResults) {
  const auto model = Make(config_, weights_);
  const PromptGroup empty{{1, 2}, {}}, full{{1}, {{2}}};
  const auto results = model->Forward(std::vector<const PromptGroup*>{&empty, &full});
  ASSERT_TRUE(results.ok());
  EXPECT_EQ((*results)[0].size(), 0u);
  EXPECT_EQ((*results)[1].size(), 1u);
  EXPECT_EQ(model->Forward({})->size(), 0u);
}

TEST_F(DecoderTest, RefusesBadGroupsByName) {
  const auto model = Make(config_, weights_);
  const auto message = [&](PromptGroup group) {
    const PromptGroup good{{1}, {{2}}};
    const auto results = model->Forward(std::vector<const PromptGroup*>{&good, &group});
    EXPECT_EQ(results.status().code(), absl::StatusCode::kInvalidArgument);
    return Message(results.status());
  };
  EXPECT_THAT(message({{}, {{1}}}), HasSubstr("group 1, prompt 0 has no tokens"));
  EXPECT_THAT(message({{1}, {{1}, {}}}), HasSubstr("group 1, completion 1 has no tokens"));
  EXPECT_THAT(message({{1}, {{307}}}), HasSubstr("token id 307 is not below the vocabulary size 307"));
  EXPECT_THAT(message({TokenIds(2000, 1), {TokenIds(49, 1)}}), HasSubstr("2049 tokens with its prompt, over"));
}

TEST_F(DecoderTest, AcceptsTheWholeContext) {
  DecoderConfig config = config_;
  config.max_context_tokens = 64;
  const auto model = Make(config, weights_);
  const PromptGroup group{TokenIds(40, 5), {TokenIds(24, 6)}};
  EXPECT_TRUE(model->Forward(std::vector<const PromptGroup*>{&group}).ok());
}

TEST_F(DecoderTest, RefusesWeightsThatDoNotFit) {
  const auto message = [&](const DecoderConfig& config, const DecoderWeightViews& views) {
    const auto model = MakeDecoder(config, views, "float32", 1, {});
    EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
    return Message(model.status());
  };
  DecoderWeightViews views = weights_->views;
  views.layers[1].down.weight.num_in = 87;
  EXPECT_THAT(message(config_, views), HasSubstr("layers[1].down is [48][87]; the config asks for [48][88]"));
  views = weights_->views;
  views.head = {};
  EXPECT_THAT(message(config_, views), HasSubstr("weight head is missing"));
  DecoderConfig config = config_;
  config.num_kv_heads = 4;
  EXPECT_THAT(message(config, weights_->views), HasSubstr("num_heads 6 is not a multiple of num_kv_heads 4"));
  config = config_;
  config.ropes[0].rotary_dim = 7;
  EXPECT_THAT(message(config, weights_->views), HasSubstr("rotary_dim is 7"));
  config = config_;
  config.ropes[0].kind = RopeConfig::Kind::kYarn;
  EXPECT_THAT(message(config, weights_->views), HasSubstr("original_max_positions is 0, below 1"));
}

TEST_F(DecoderTest, RefusesAnUnknownDtypeByName) {
  const auto model = MakeDecoder(config_, weights_->views, "float8", 1, {});
  EXPECT_THAT(Message(model.status()), HasSubstr("'float8'"));
}

TEST_F(DecoderTest, NamesItsNumerics) {
  EXPECT_THAT(Make(config_, weights_)->info().numerics_mode, HasSubstr("float32-1"));
  EXPECT_EQ(Make(config_, weights_)->info().dtype, "float32");
}

TEST_F(DecoderTest, ComputesInBfloat16OrSaysWhyNot) {
  const auto model = MakeDecoder(config_, weights_->views, "bfloat16", 1, {});
  if (__builtin_cpu_supports("avx512bf16")) {
    ASSERT_TRUE(model.ok());
    EXPECT_THAT((*model)->info().numerics_mode, HasSubstr("bfloat16-1"));
  } else {
    EXPECT_EQ(model.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(model.status()), HasSubstr("bfloat16 needs a CPU with AVX512-BF16"));
  }
}

// In a process of its own: oneDNN reads the variable once.
TEST(DecoderDeathTest, RefusesBfloat16WhereTheKernelsLackIt) {
  if (!__builtin_cpu_supports("avx512bf16")) GTEST_SKIP() << "refused by the CPU's features already";
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", 1);
        const DecoderConfig config = testing::LlamaShape().config;
        const auto weights = testing::MakeRandomWeights(config, 1);
        const auto model = MakeDecoder(config, weights->views, "bfloat16", 1, {});
        std::cerr << Message(model.status());
        std::exit(model.status().code() == absl::StatusCode::kFailedPrecondition ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "dtype bfloat16 is not available here");
}

// Completions that attend to a broken one's rows, or to padding beside them, would be infected.
TEST_F(DecoderTest, NonFiniteNumbersStayInTheirGroup) {
  DecoderConfig config = config_;
  std::vector<float>& embedding = weights_->buffers.front();
  for (int i = 0; i < 48; ++i) embedding[7 * 48 + i] = std::numeric_limits<float>::quiet_NaN();
  const auto model = Make(config, weights_);
  const PromptGroup good{{1, 2, 3}, {{4, 5, 6}, {8, 9}}}, bad{{1, 2, 7}, {{4, 5, 6}, {8, 9}}};
  const auto alone = model->Forward(std::vector<const PromptGroup*>{&good});
  const auto mixed = model->Forward(std::vector<const PromptGroup*>{&bad, &good, &bad});
  EXPECT_EQ((*mixed)[1], (*alone)[0]);
  EXPECT_TRUE(std::isnan((*mixed)[0][0].token_logps[0]));
  EXPECT_TRUE(std::isnan((*mixed)[2][1].token_logps[1]));
}

// 1,000 rows of 200,000 logits would take 800 MB.
TEST(DecoderMemoryTest, DoesNotGrowWithRowsTimesVocabulary) {
  const DecoderConfig config = testing::LlamaConfig(1, 16, 1, 1, 16, 200000);
  const auto model = Make(config, testing::MakeRandomWeights(config, 1));
  const auto peak_megabytes = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss >> 10;
  };
  const PromptGroup small{{1}, {{2}}}, large{{1}, {TokenIds(500, 3), TokenIds(500, 4)}};
  ASSERT_TRUE(model->Forward(std::vector<const PromptGroup*>{&small}).ok());
  const auto before = peak_megabytes();
  ASSERT_TRUE(model->Forward(std::vector<const PromptGroup*>{&large}).ok());
  EXPECT_LT(peak_megabytes() - before, 50);
}

TEST_F(DecoderTest, ChecksAtLoadThatRowsDoNotMoveEachOther) {
  EXPECT_TRUE(Make(config_, weights_)->info().same_bits_verified);
}

// GPT-2 keeps its matrices as [in][out].
TEST_F(DecoderTest, ReadsTransposedWeights) {
  const auto model = Make(config_, weights_);
  const WeightView straight = weights_->views.layers[0].up.weight;
  std::vector<float> transposed(straight.num_out * straight.num_in);
  for (std::int64_t o = 0; o < straight.num_out; ++o) {
    for (std::int64_t i = 0; i < straight.num_in; ++i) {
      transposed[i * straight.num_out + o] = static_cast<float>(testing::At(straight, o, i));
    }
  }
  DecoderWeightViews views = weights_->views;
  views.layers[0].up.weight = {.data = reinterpret_cast<const std::byte*>(transposed.data()),
                               .num_out = straight.num_out,
                               .num_in = straight.num_in,
                               .out_stride = 1,
                               .in_stride = straight.num_out};
  const auto other = MakeDecoder(config_, views, "float32", 1, {});
  const PromptGroup group{{1, 2, 3}, {{4, 5, 6}}};
  EXPECT_EQ(*(*other)->Forward(std::vector<const PromptGroup*>{&group}),
            *model->Forward(std::vector<const PromptGroup*>{&group}));
}

}  // namespace
}  // namespace prefscore
