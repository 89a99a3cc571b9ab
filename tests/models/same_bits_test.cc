// SPDX-License-Identifier: Apache-2.0
// Same ids, same bits: a completion's log-probs are those that it has alone, however it is scored.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <random>
#include <thread>

#include "server/models/decoder.h"
#include "server/models/numerics.h"
#include "tests/testing/decoder_shapes.h"
#include "tests/testing/random_groups.h"

namespace prefscore {
namespace {

using testing::DecoderShape;

// A prompt with completions, and what each completion has alone.
struct Sample {
  TokenIds prompt;
  std::vector<TokenIds> completions;
  std::vector<CompletionLogProbs> alone;
};

bool SameBits(const CompletionLogProbs& a, const CompletionLogProbs& b) {
  return a.is_greedy_match == b.is_greedy_match && a.token_logps.size() == b.token_logps.size() &&
         std::equal(a.token_logps.begin(), a.token_logps.end(), b.token_logps.begin(), [](double x, double y) {
           return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
         });
}

class SameBitsTest : public ::testing::TestWithParam<std::tuple<DecoderShape, std::string>> {
 protected:
  static constexpr int kNumSamples = 24;
  static constexpr int kNumBatches = 60;

  void SetUp() override {
    const Precision precision = *ParsePrecision(std::get<1>(GetParam()));
    if (const auto mode = NumericsMode(precision); !mode.ok()) GTEST_SKIP() << std::string(mode.status().message());
    for (const int num_threads : {1, 2, 3}) {
      auto model = MakeDecoder(config_, weights_->views, std::get<1>(GetParam()), num_threads, {});
      EXPECT_TRUE(model.ok()) << std::string(model.status().message());
      models_.push_back(*model);
    }
    for (int i = 0; i < kNumSamples; ++i) {
      Sample sample{testing::RandomTokens(random_, MaxLength(i), config_.vocab_size), {}, {}};
      for (int c = 0; c < 3; ++c) {
        sample.completions.push_back(testing::RandomTokens(random_, MaxLength(i), config_.vocab_size));
        const PromptGroup group{sample.prompt, {sample.completions.back()}};
        sample.alone.push_back((*models_[0]->Forward(std::vector<const PromptGroup*>{&group}))[0][0]);
      }
      samples_.push_back(sample);
    }
  }

  // Mostly short, some beyond the blocks of 64 rows that kernels work on.
  static std::int64_t MaxLength(int sample) { return sample % 8 == 7 ? 120 : 30; }

  // Random samples in random order, each with some of its completions in random order; returns which.
  std::vector<std::pair<int, std::vector<int>>> RandomBatch(std::mt19937& random, int max_groups) const {
    std::vector<std::pair<int, std::vector<int>>> batch(1 + random() % max_groups);
    for (auto& [sample, completions] : batch) {
      sample = static_cast<int>(random() % kNumSamples);
      completions.resize(1 + random() % 4);
      for (int& completion : completions) completion = static_cast<int>(random() % 3);
    }
    return batch;
  }

  // Number of completions that were compared; differences are test failures.
  int CheckBatch(const CausalLm& model, const std::vector<std::pair<int, std::vector<int>>>& batch) const {
    std::vector<PromptGroup> groups;
    for (const auto& [sample, completions] : batch) {
      PromptGroup& group = groups.emplace_back(PromptGroup{samples_[sample].prompt, {}});
      for (const int completion : completions) group.completions.push_back(samples_[sample].completions[completion]);
    }
    const auto results = model.Forward(testing::Pointers(groups));
    if (!results.ok()) {
      ADD_FAILURE() << std::string(results.status().message());
      return 0;
    }
    int num_cases = 0;
    for (std::size_t g = 0; g < batch.size(); ++g) {
      const auto& [sample, completions] = batch[g];
      for (std::size_t c = 0; c < completions.size(); ++c, ++num_cases) {
        EXPECT_TRUE(SameBits((*results)[g][c], samples_[sample].alone[completions[c]]))
            << "prompt of " << samples_[sample].prompt.size() << ", completion of "
            << samples_[sample].completions[completions[c]].size() << " tokens, in a batch of " << batch.size();
      }
    }
    return num_cases;
  }

  const DecoderConfig config_ = std::get<0>(GetParam()).config;
  std::mt19937 random_{2024};
  const std::shared_ptr<testing::RandomWeights> weights_ =
      testing::MakeRandomWeights(config_, 17, std::get<0>(GetParam()).with_biases);
  std::vector<std::shared_ptr<const CausalLm>> models_;  // the same weights with 1, 2 and 3 threads
  std::vector<Sample> samples_;
};

TEST_P(SameBitsTest, InAPairAndSwapped) {
  for (int sample = 0; sample < kNumSamples; ++sample) {
    CheckBatch(*models_[1], {{sample, {0, 1}}});
    CheckBatch(*models_[1], {{sample, {1, 0}}});
  }
}

TEST_P(SameBitsTest, AmongRandomMatesWithAnyNumberOfThreads) {
  int num_cases = 0;
  for (int i = 0; i < kNumBatches; ++i) num_cases += CheckBatch(*models_[i % 3], RandomBatch(random_, 8));
  EXPECT_GE(num_cases, 200);
}

TEST_P(SameBitsTest, UnderConcurrentCallers) {
  std::array<int, 4> num_cases{};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      std::mt19937 random(caller);
      for (int i = 0; i < kNumBatches / 4; ++i) num_cases[caller] += CheckBatch(*models_[1], RandomBatch(random, 5));
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_GE(num_cases[0] + num_cases[1] + num_cases[2] + num_cases[3], 150);
}

// Also matrices wide enough for every path of the GEMM kernels.
std::vector<DecoderShape> SmallAndWideShapes() {
  std::vector<DecoderShape> shapes = testing::AllShapes();
  shapes.push_back({testing::LlamaConfig(2, 320, 5, 5, 830, 4200)});
  shapes.back().config.architecture = "wide";
  return shapes;
}

INSTANTIATE_TEST_SUITE_P(Shapes, SameBitsTest,
                         ::testing::Combine(::testing::ValuesIn(SmallAndWideShapes()),
                                            ::testing::Values("float32", "bfloat16")),
                         [](const auto& info) {
                           return std::get<0>(info.param).config.architecture + "_" + std::get<1>(info.param);
                         });

}  // namespace
}  // namespace prefscore
