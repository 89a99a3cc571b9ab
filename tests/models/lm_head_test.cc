// SPDX-License-Identifier: Apache-2.0
#include "server/models/lm_head.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace prefscore {
namespace {

struct HeadCase {
  std::int64_t vocab_size;
  double softcap;
  float magnitude;  // of logits, about
};

class LmHeadTest : public ::testing::TestWithParam<HeadCase> {};

TEST_P(LmHeadTest, AgreesWithDoubleLoops) {
  constexpr std::int64_t kHidden = 40, kRows = 70;
  const auto& [vocab_size, softcap, magnitude] = GetParam();
  std::mt19937 random(9);
  const auto uniform = [&] { return static_cast<float>(random()) * 0x1p-31f - 1.0f; };
  std::vector<float> weight(vocab_size * kHidden), bias(vocab_size), hidden(kRows * kHidden);
  for (float& value : weight) value = magnitude * uniform() / 3.6f;
  for (float& value : bias) value = uniform();
  for (float& value : hidden) value = uniform();
  const LinearView view{.weight = {.data = reinterpret_cast<const std::byte*>(weight.data()),
                                   .num_out = vocab_size,
                                   .num_in = kHidden,
                                   .out_stride = kHidden},
                        .bias = {.data = reinterpret_cast<const std::byte*>(bias.data()),
                                 .num_out = 1,
                                 .num_in = vocab_size,
                                 .out_stride = vocab_size}};
  GemmInput input(Precision::kFloat32, kRows, kHidden);
  for (std::int64_t row = 0; row < kRows; ++row) input.Store(row, 0, &hidden[row * kHidden], kHidden);
  std::vector<HeadTarget> targets;  // any order, several of one row, the first and the last token
  for (int i = 0; i < 200; ++i) {
    const auto token = static_cast<TokenId>(i == 0 ? 0 : i == 1 ? vocab_size - 1 : random() % vocab_size);
    targets.push_back({static_cast<std::int64_t>(random() % kRows), token});
  }
  const ThreadPool pool(2);
  const auto scores = LmHead(view, softcap, Precision::kFloat32, pool).ScoreTargets(input, targets, pool);

  for (std::size_t i = 0; i < targets.size(); ++i) {
    std::vector<double> logits(vocab_size);
    double largest = -1e300, sum = 0.0;
    for (std::int64_t token = 0; token < vocab_size; ++token) {
      logits[token] = bias[token];
      for (std::int64_t k = 0; k < kHidden; ++k) {
        logits[token] += static_cast<double>(weight[token * kHidden + k]) * hidden[targets[i].head_row * kHidden + k];
      }
      if (softcap > 0.0) logits[token] = softcap * std::tanh(logits[token] / softcap);
      largest = std::max(largest, logits[token]);
    }
    for (const double logit : logits) sum += std::exp(logit - largest);
    const double expected = logits[targets[i].token] - largest - std::log(sum);
    EXPECT_NEAR(scores[i].log_prob, expected, 1e-6 * std::max(magnitude, 1.0f)) << i;
  }
}

// Logits are exact: those of hidden state 1 are the weights, whole numbers of which many are the largest.
TEST(LmHeadArgmaxTest, OfEqualLogitsTheLowestTokenIsTheArgmax) {
  for (const std::int64_t vocab_size : {1, 63, 64, 65, 1000, 20'000}) {
    for (const double softcap : {0.0, 7.0}) {
      std::mt19937 random(static_cast<std::uint32_t>(vocab_size));
      constexpr std::int64_t kRows = 3;  // each reads a weight of its own
      std::vector<float> weight(vocab_size * kRows);
      for (float& value : weight) value = static_cast<float>(random() % 25) - 30.0f;
      const LinearView view{.weight = {.data = reinterpret_cast<const std::byte*>(weight.data()),
                                       .num_out = vocab_size,
                                       .num_in = kRows,
                                       .out_stride = kRows},
                            .bias = {}};
      GemmInput input(Precision::kFloat32, kRows, kRows);
      std::vector<HeadTarget> targets;
      std::vector<std::int64_t> argmaxima(kRows, 0);
      for (std::int64_t row = 0; row < kRows; ++row) {
        std::vector<float> hidden(kRows, 0.0f);
        hidden[row] = 1.0f;
        input.Store(row, 0, hidden.data(), kRows);
        const auto logit = [&](std::int64_t token) { return weight[token * kRows + row]; };
        for (std::int64_t token = 0; token < vocab_size; ++token) {
          targets.push_back({row, static_cast<TokenId>(token)});
          if (logit(token) > logit(argmaxima[row])) argmaxima[row] = token;
        }
      }
      const ThreadPool pool(2);
      const auto scores = LmHead(view, softcap, Precision::kFloat32, pool).ScoreTargets(input, targets, pool);
      for (std::size_t i = 0; i < targets.size(); ++i) {
        ASSERT_EQ(scores[i].is_argmax, targets[i].token == argmaxima[targets[i].head_row])
            << "vocabulary of " << vocab_size << ", token " << targets[i].token;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, LmHeadTest,
                         ::testing::Values(HeadCase{1, 0.0, 2.0f}, HeadCase{63, 0.0, 2.0f}, HeadCase{64, 7.0, 20.0f},
                                           HeadCase{1000, 0.0, 0.01f}, HeadCase{5000, 0.0, 200.0f}));

}  // namespace
}  // namespace prefscore
