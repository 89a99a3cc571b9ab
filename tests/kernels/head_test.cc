// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "tests/testing/kernel_backend.h"

namespace prefscore {
namespace {

using namespace testing;
using kernels::PartialSum;

struct Case {
  std::int64_t num_rows = 3;
  std::int64_t vocab = 100;
  std::int64_t tile_columns = 64;
  std::int64_t padding = 28;  // columns of the last tile beyond the vocabulary
  float softcap = 0.0f;
  std::size_t offset = 0;
};

struct Targets {
  std::vector<std::int32_t> rows, tokens;
};

// Every row twice; tokens at both ends and on both sides of the tiles' edges.
Targets SomeTargets(const Case& test) {
  Targets targets;
  const std::int64_t tokens[] = {0, test.vocab - 1, test.tile_columns - 1, test.tile_columns, test.vocab / 2};
  for (std::int64_t i = 0; i < 2 * test.num_rows; ++i) {
    targets.rows.push_back(static_cast<std::int32_t>(i % test.num_rows));
    targets.tokens.push_back(static_cast<std::int32_t>(std::min(tokens[i % 5], test.vocab - 1)));
  }
  return targets;
}

struct Outputs {
  std::vector<double> sums, log_probs;
  std::vector<float> maxima, target_logits;
  std::vector<std::int32_t> argmaxima;  // [num_rows]
  std::vector<bool> is_argmax;          // [num_targets]
};

// Tile by tile through one buffer, as the head does. logits: [num_rows][vocab].
Outputs RunCase(Backend backend, const Case& test, const std::vector<float>& logits, const Targets& targets) {
  SharedMemory memory(backend);
  const std::int64_t stride = test.tile_columns + test.padding;
  const auto sums = memory.Copy(std::vector<PartialSum>(test.num_rows, PartialSum{kNan, kNan, 7}));  // not read at first
  const auto target_logits = memory.Copy(std::vector<float>(targets.rows.size(), kNan));
  const auto scores = memory.Copy(std::vector<kernels::TargetScore>(targets.rows.size()));
  const std::int32_t* target_rows = memory.Copy(targets.rows).data();
  const std::int32_t* target_tokens = memory.Copy(targets.tokens).data();
  const auto num_targets = static_cast<std::int64_t>(targets.rows.size());
  for (std::int64_t first = 0; first < test.vocab; first += test.tile_columns) {
    const std::int64_t num_columns = std::min(test.tile_columns, test.vocab - first);
    std::vector<float> tile(test.num_rows * stride, kNan);
    for (std::int64_t row = 0; row < test.num_rows; ++row) {
      std::copy_n(logits.begin() + row * test.vocab + first, num_columns, tile.begin() + row * stride);
    }
    RunKernel(backend, kernels::HeadTileArgs{
        .logits = memory.Copy(tile, test.offset).data(),
        .stride = stride,
        .num_rows = test.num_rows,
        .num_columns = num_columns,
        .first_column = first,
        .softcap = test.softcap,
        .sums = sums.data(),
        .target_rows = target_rows,
        .target_tokens = target_tokens,
        .num_targets = num_targets,
        .target_logits = target_logits.data()});
  }
  RunKernel(backend, kernels::FinishTargetsArgs{
      .sums = sums.data(),
      .target_logits = target_logits.data(),
      .target_rows = target_rows,
      .target_tokens = target_tokens,
      .num_targets = num_targets,
      .scores = scores.data()});
  Outputs outputs;
  for (const PartialSum& sum : sums) {
    outputs.sums.push_back(sum.sum);
    outputs.maxima.push_back(sum.maximum);
    outputs.argmaxima.push_back(sum.argmax);
  }
  for (const kernels::TargetScore& score : scores) {
    outputs.log_probs.push_back(score.log_prob);
    outputs.is_argmax.push_back(score.is_argmax);
  }
  outputs.target_logits.assign(target_logits.begin(), target_logits.end());
  return outputs;
}

double ExactLogProb(const Case& test, const std::vector<float>& logits, std::int64_t row, std::int64_t token) {
  const auto capped = [&](std::int64_t column) {
    const double logit = logits[row * test.vocab + column];
    return test.softcap > 0.0f ? test.softcap * std::tanh(logit / test.softcap) : logit;
  };
  double maximum = -kInfinity, sum = 0.0;
  for (std::int64_t i = 0; i < test.vocab; ++i) maximum = std::max(maximum, capped(i));
  for (std::int64_t i = 0; i < test.vocab; ++i) sum += std::exp(capped(i) - maximum);
  return capped(token) - maximum - std::log(sum);
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const float softcap : {0.0f, 5.0f}) {
    for (const std::size_t offset : {0, 1}) {
      cases.push_back({3, 100, 64, 28, softcap, offset});
      cases.push_back({3, 1, 64, 0, softcap, offset});
      cases.push_back({2, 10'001, 4096, 0, softcap, offset});
      cases.push_back({2, 20'000, 8192, 3, softcap, offset});  // rows that are not aligned; several steps a tile
      cases.push_back({2, 5'003, 5'003, 117, softcap, offset});
    }
  }
  return cases;
}

class HeadTest : public KernelTest {};

TEST_P(HeadTest, MatchesLogSoftmax) {
  for (const Case& test : AllCases()) {
    const std::vector<float> logits = RandomFloats(test.num_rows * test.vocab, 12.0f, 1);
    const Targets targets = SomeTargets(test);
    const Outputs outputs = RunCase(GetParam(), test, logits, targets);
    for (std::size_t i = 0; i < targets.rows.size(); ++i) {
      EXPECT_NEAR(outputs.log_probs[i], ExactLogProb(test, logits, targets.rows[i], targets.tokens[i]),
                  test.softcap > 0.0f ? 2e-6 : 2e-7)
          << "vocab " << test.vocab << " target " << i;
    }
  }
}

// The largest logit comes last, first, and far from all others; sums must neither overflow nor vanish.
TEST_P(HeadTest, LargeAndSmallLogits) {
  const Case test{.num_rows = 4, .vocab = 300};
  std::vector<float> logits = RandomFloats(test.num_rows * test.vocab, 1.0f, 1);
  for (std::int64_t i = 0; i < test.vocab; ++i) {
    logits[0 * test.vocab + i] += 4.0f * static_cast<float>(i);
    logits[1 * test.vocab + i] -= 4.0f * static_cast<float>(i);
    logits[2 * test.vocab + i] *= 1e30f;
    logits[3 * test.vocab + i] = i < 200 ? -kInfinity : logits[3 * test.vocab + i] - 1e4f;  // tiles without any
  }
  Targets targets;
  for (std::int32_t row = 0; row < 4; ++row) {
    for (const std::int32_t token : {0, 150, 299}) {
      targets.rows.push_back(row);
      targets.tokens.push_back(token);
    }
  }
  const Outputs outputs = RunCase(GetParam(), test, logits, targets);
  for (std::size_t i = 0; i < targets.rows.size(); ++i) {
    const double expected = ExactLogProb(test, logits, targets.rows[i], targets.tokens[i]);
    if (std::isinf(expected)) {
      EXPECT_EQ(outputs.log_probs[i], expected) << i;
    } else {
      EXPECT_NEAR(outputs.log_probs[i], expected, 1e-6 + 1e-12 * std::abs(expected)) << i;
    }
  }
}

// Whole numbers, so that the largest is met many times, in and across steps and tiles.
TEST_P(HeadTest, OfEqualLogitsTheLowestIndexIsTheArgmax) {
  for (const Case& test : AllCases()) {
    std::vector<float> logits = RandomFloats(test.num_rows * test.vocab, 12.0f, 1);
    for (float& logit : logits) logit = std::round(logit);
    Targets targets;
    std::vector<bool> expected;
    for (std::int64_t row = 0; row < test.num_rows; ++row) {
      const auto first = logits.begin() + row * test.vocab;
      const auto largest = std::max_element(first, first + test.vocab) - first;  // the first of the largest
      for (std::int64_t token = 0; token < test.vocab; ++token) {
        if (first[token] < first[largest] && token % 97 != 0) continue;
        targets.rows.push_back(static_cast<std::int32_t>(row));
        targets.tokens.push_back(static_cast<std::int32_t>(token));
        expected.push_back(token == largest);
      }
    }
    EXPECT_EQ(RunCase(GetParam(), test, logits, targets).is_argmax, expected) << "vocab " << test.vocab;
  }
}

TEST_P(HeadTest, EveryColumnCanBeTheArgmax) {
  const Case test{.num_rows = 100, .vocab = 100};
  std::vector<float> logits(test.num_rows * test.vocab, -3.0f);
  Targets targets;
  for (std::int32_t row = 0; row < test.num_rows; ++row) {
    logits[row * test.vocab + row] = -2.0f;
    for (const std::int32_t other : {0, 1}) {
      targets.rows.push_back(row);
      targets.tokens.push_back(static_cast<std::int32_t>((row + other) % test.vocab));
    }
  }
  const std::vector<bool> is_argmax = RunCase(GetParam(), test, logits, targets).is_argmax;
  for (std::size_t i = 0; i < is_argmax.size(); ++i) EXPECT_EQ(is_argmax[i], i % 2 == 0) << "row " << i / 2;
}

TEST_P(HeadTest, ARowDependsOnItselfAlone) {
  const Case many{.num_rows = kManyRows, .vocab = 70};
  const std::vector<float> logits = RandomFloats(many.num_rows * many.vocab, 12.0f, 1);
  const Outputs all = RunCase(GetParam(), many, logits, SomeTargets(many));
  for (const std::int64_t row : {std::int64_t{0}, kManyRows / 2, many.num_rows - 1}) {
    Case alone = many;
    alone.num_rows = 1;
    const std::vector<float> one(logits.begin() + row * many.vocab, logits.begin() + (row + 1) * many.vocab);
    const Targets target{{0}, {SomeTargets(many).tokens[row]}};
    const Outputs outputs = RunCase(GetParam(), alone, one, target);
    EXPECT_EQ(outputs.sums[0], all.sums[row]);
    EXPECT_EQ(outputs.maxima[0], all.maxima[row]);
    EXPECT_EQ(outputs.argmaxima[0], all.argmaxima[row]);
    EXPECT_EQ(outputs.log_probs[0], all.log_probs[row]);
  }
}

TEST_P(HeadTest, NanStaysInItsRow) {
  const Case test;
  std::vector<float> logits = RandomFloats(test.num_rows * test.vocab, 12.0f, 1);
  logits[1 * test.vocab + 70] = kNan;
  const Targets targets = SomeTargets(test);
  const Outputs outputs = RunCase(GetParam(), test, logits, targets);
  for (std::size_t i = 0; i < targets.rows.size(); ++i) {
    EXPECT_EQ(std::isnan(outputs.log_probs[i]), targets.rows[i] == 1) << i;
  }
}

TEST_P(HeadTest, NoTargets) {
  const Case test;
  const std::vector<float> logits = RandomFloats(test.num_rows * test.vocab, 12.0f, 1);
  EXPECT_TRUE(RunCase(GetParam(), test, logits, {}).log_probs.empty());
}

PREFSCORE_INSTANTIATE_KERNEL_TEST(HeadTest);

class HeadTwinTest : public TwinTest {};

// The logarithm is the library's: its last bits may differ.
TEST_F(HeadTwinTest, SameBits) {
  for (const Case& test : AllCases()) {
    const std::vector<float> logits = RandomFloats(test.num_rows * test.vocab, 12.0f, 1);
    const Targets targets = SomeTargets(test);
    const Outputs kernel = RunCase(Backend::kCuda, test, logits, targets);
    const Outputs twin = RunCase(Backend::kHost, test, logits, targets);
    ExpectSameBits(kernel.sums, twin.sums);
    ExpectSameBits(kernel.maxima, twin.maxima);
    EXPECT_EQ(kernel.argmaxima, twin.argmaxima);
    EXPECT_EQ(kernel.is_argmax, twin.is_argmax);
    ExpectSameBits(kernel.target_logits, twin.target_logits);
    for (std::size_t i = 0; i < twin.log_probs.size(); ++i) {
      EXPECT_NEAR(kernel.log_probs[i], twin.log_probs[i], 1e-14 * (1.0 + std::abs(twin.log_probs[i])));
    }
  }
}

}  // namespace
}  // namespace prefscore
