// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "server/kernels/row_lanes.h"
#include "tests/testing/kernel_backend.h"

namespace prefscore {
namespace {

using namespace testing;

struct Length {
  std::int64_t queries = 1;
  std::int64_t keys = 1;
};

struct Case {
  ElementType type = ElementType::kFloat32;
  std::vector<Length> segments = {{3, 3}};
  std::int64_t num_heads = 2;
  std::int64_t num_kv_heads = 1;
  std::int64_t head_dim = 16;
  float softcap = 0.0f;
  std::int64_t window = 0;
  std::size_t offset = 0;

  std::int64_t num_queries() const {
    return std::accumulate(segments.begin(), segments.end(), std::int64_t{0},
                           [](std::int64_t sum, const Length& length) { return sum + length.queries; });
  }
  std::int64_t num_keys() const {
    return std::accumulate(segments.begin(), segments.end(), std::int64_t{0},
                           [](std::int64_t sum, const Length& length) { return sum + length.keys; });
  }
};

struct Inputs {
  std::vector<float> queries, keys, values;
};

constexpr float kScale = 0.3f;

Inputs RandomInputs(const Case& test) {
  return {Rounded(test.type, RandomFloats(test.num_queries() * test.num_heads * test.head_dim, 2.0f, 1)),
          Rounded(test.type, RandomFloats(test.num_keys() * test.num_kv_heads * test.head_dim, 2.0f, 2)),
          Rounded(test.type, RandomFloats(test.num_keys() * test.num_kv_heads * test.head_dim, 2.0f, 3))};
}

std::vector<float> RunCase(Backend backend, const Case& test, const Inputs& inputs) {
  SharedMemory memory(backend);
  const std::int64_t size = kernels::SizeOf(test.type);
  std::vector<std::int32_t> first_queries{0}, first_keys{0};
  Length longest;
  for (const Length& length : test.segments) {
    first_queries.push_back(static_cast<std::int32_t>(first_queries.back() + length.queries));
    first_keys.push_back(static_cast<std::int32_t>(first_keys.back() + length.keys));
    longest.queries = std::max(longest.queries, length.queries);
    longest.keys = std::max(longest.keys, length.keys);
  }
  const auto elements = [&](const std::vector<float>& values) {
    return memory.Copy(ToElements(test.type, values), test.offset * size).data();
  };
  const auto out = memory.Copy(std::vector<std::byte>(inputs.queries.size() * size), test.offset * size);
  RunKernel(backend, kernels::SegmentAttentionArgs{
      .type = test.type,
      .queries = elements(inputs.queries),
      .keys = elements(inputs.keys),
      .values = elements(inputs.values),
      .first_queries = memory.Copy(first_queries).data(),
      .first_keys = memory.Copy(first_keys).data(),
      .num_segments = static_cast<std::int64_t>(test.segments.size()),
      .num_queries = test.num_queries(),
      .num_keys = test.num_keys(),
      .max_queries = longest.queries + 5,  // "or more"
      .max_keys = longest.keys,
      .num_heads = test.num_heads,
      .num_kv_heads = test.num_kv_heads,
      .head_dim = test.head_dim,
      .scale = kScale,
      .softcap = test.softcap,
      .window = test.window,
      .out = out.data()});
  return FromElements(test.type, out);
}

std::vector<double> Exact(const Case& test, const Inputs& inputs) {
  const std::int64_t dim = test.head_dim;
  std::vector<double> out;
  std::int64_t first_query = 0, first_key = 0;
  for (const Length& length : test.segments) {
    for (std::int64_t i = 0; i < length.queries * test.num_heads; ++i) {
      const std::int64_t query = i / test.num_heads, head = i % test.num_heads;
      const std::int64_t last = query + length.keys - length.queries;
      const std::int64_t first = test.window > 0 ? std::max<std::int64_t>(0, last - test.window + 1) : 0;
      const float* q = inputs.queries.data() + ((first_query + query) * test.num_heads + head) * dim;
      const auto row_of = [&](const std::vector<float>& matrix, std::int64_t key) {
        const std::int64_t kv_head = head / (test.num_heads / test.num_kv_heads);
        return matrix.data() + ((first_key + key) * test.num_kv_heads + kv_head) * dim;
      };
      std::vector<double> scores;
      for (std::int64_t key = first; key <= last; ++key) {
        double score = 0.0;
        for (std::int64_t d = 0; d < dim; ++d) score += static_cast<double>(q[d]) * row_of(inputs.keys, key)[d];
        score *= kScale;
        scores.push_back(test.softcap > 0.0f ? test.softcap * std::tanh(score / test.softcap) : score);
      }
      const double maximum = *std::max_element(scores.begin(), scores.end());
      double total = 0.0;
      for (double& score : scores) total += score = std::exp(score - maximum);
      for (std::int64_t d = 0; d < dim; ++d) {
        double sum = 0.0;
        for (std::int64_t key = first; key <= last; ++key) sum += scores[key - first] * row_of(inputs.values, key)[d];
        out.push_back(sum / total);
      }
    }
    first_query += length.queries;
    first_key += length.keys;
  }
  return out;
}

std::vector<Case> AllCases() {
  const std::vector<Length> mixed = {{1, 1}, {40, 40}, {7, 47}, {33, 73}, {1, 100}, {65, 65}, {2, 34}, {130, 130}};
  std::vector<Case> cases;
  for (const ElementType type : kElementTypes) {
    for (const std::int64_t head_dim : {1, 8, 20, 32, 33, 64, 80, 96, 128, 130, 256, 300, 512}) {
      cases.push_back({.type = type, .segments = {{5, 5}, {3, 40}}, .head_dim = head_dim});
      cases.push_back({.type = type, .segments = {{5, 5}, {3, 40}}, .head_dim = head_dim, .offset = 1});
    }
    for (const float softcap : {0.0f, 3.0f}) {
      for (const std::int64_t window : {0, 1, 2, 7, 10, 32, 50}) {
        cases.push_back({.type = type, .segments = mixed, .num_heads = 4, .num_kv_heads = 2, .softcap = softcap,
                         .window = window});
      }
    }
    cases.push_back({.type = type, .segments = mixed, .num_heads = 6, .num_kv_heads = 6, .head_dim = 24});
  }
  return cases;
}

class SegmentAttentionTest : public KernelTest {};

TEST_P(SegmentAttentionTest, MatchesTheFormula) {
  for (const Case& test : AllCases()) {
    SCOPED_TRACE(::testing::Message() << "head_dim " << test.head_dim << " window " << test.window << " softcap "
                                      << test.softcap << " type " << static_cast<int>(test.type));
    const Inputs inputs = RandomInputs(test);
    // A score is a sum of head_dim products, and its error the weights'.
    ExpectNear(test.type, RunCase(GetParam(), test, inputs), Exact(test, inputs),
               2e-6 + 1e-7 * static_cast<double>(test.head_dim));
  }
}

// A completion's rows behind their prompt, and the same rows at the end of one sequence: each sees the same keys.
TEST_P(SegmentAttentionTest, SharingAPromptDoesNotChangeBits) {
  for (const std::int64_t window : {0, 20}) {
    Case whole{.type = ElementType::kBfloat16, .segments = {{90, 90}}, .num_heads = 2, .window = window};
    const Inputs inputs = RandomInputs(whole);
    const std::vector<float> expected = RunCase(GetParam(), whole, inputs);
    for (const std::int64_t first : {1, 31, 50, 64, 89}) {
      Case shared = whole;
      shared.segments = {{90 - first, 90}};
      Inputs tail = inputs;
      const std::int64_t begin = first * whole.num_heads * whole.head_dim;
      tail.queries.erase(tail.queries.begin(), tail.queries.begin() + begin);
      ExpectSameBits(RunCase(GetParam(), shared, tail),
                     std::vector<float>(expected.begin() + begin, expected.end()));
    }
  }
}

TEST_P(SegmentAttentionTest, ASegmentDependsOnItselfAlone) {
  const Case all{.segments = {{70, 70}, {9, 79}, {40, 110}}, .window = 33};
  const Inputs inputs = RandomInputs(all);
  const std::vector<float> together = RunCase(GetParam(), all, inputs);
  std::int64_t query = 0, key = 0;
  for (const Length& length : all.segments) {
    Case alone = all;
    alone.segments = {length};
    const auto cut = [](const std::vector<float>& values, std::int64_t first, std::int64_t count, std::int64_t width) {
      return std::vector<float>(values.begin() + first * width, values.begin() + (first + count) * width);
    };
    const std::int64_t query_width = all.num_heads * all.head_dim, key_width = all.num_kv_heads * all.head_dim;
    const Inputs one{cut(inputs.queries, query, length.queries, query_width),
                     cut(inputs.keys, key, length.keys, key_width), cut(inputs.values, key, length.keys, key_width)};
    ExpectSameBits(RunCase(GetParam(), alone, one), cut(together, query, length.queries, query_width));
    query += length.queries;
    key += length.keys;
  }
}

// What a row does not see may be anything, without touching it: later tokens, and those before its window.
TEST_P(SegmentAttentionTest, NanReachesOnlyRowsThatSeeIt) {
  for (const std::int64_t window : {0, 10}) {
    const Case test{.segments = {{60, 60}}, .num_heads = 1, .window = window};
    Inputs inputs = RandomInputs(test);
    const std::vector<float> clean = RunCase(GetParam(), test, inputs);
    constexpr std::int64_t kBad = 37;
    for (std::int64_t d = 0; d < test.head_dim; ++d) {
      inputs.keys[kBad * test.head_dim + d] = kNan;
      inputs.values[kBad * test.head_dim + d] = kNan;
    }
    const std::vector<float> out = RunCase(GetParam(), test, inputs);
    for (std::int64_t row = 0; row < 60; ++row) {
      const bool sees_it = row >= kBad && (window == 0 || row < kBad + window);
      for (std::int64_t i = row * test.head_dim; i < (row + 1) * test.head_dim; ++i) {
        if (sees_it) {
          ASSERT_TRUE(std::isnan(out[i])) << row;
        } else {
          ASSERT_EQ(out[i], clean[i]) << row;
        }
      }
    }
  }
}

TEST_P(SegmentAttentionTest, ManySegmentsAndNone) {
  const Case many{.segments = std::vector<Length>(kManyRows, Length{1, 2}), .num_heads = 1, .head_dim = 4};
  const Inputs inputs = RandomInputs(many);
  ExpectNear(many.type, RunCase(GetParam(), many, inputs), Exact(many, inputs), 3e-6);
  const Case none{.segments = {}};
  EXPECT_TRUE(RunCase(GetParam(), none, RandomInputs(none)).empty());
}

PREFSCORE_INSTANTIATE_KERNEL_TEST(SegmentAttentionTest);

class SegmentAttentionTwinTest : public TwinTest {};

#ifdef PREFSCORE_CUDA
TEST_F(SegmentAttentionTwinTest, AHeadThatIsTooLargeFailsToLaunch) {
  cuda::SegmentAttention({.num_segments = 1, .max_queries = 1, .num_heads = 1, .num_kv_heads = 1,
                          .head_dim = kernels::kMaxHeadDim + 1}, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
}
#endif

TEST_F(SegmentAttentionTwinTest, SameBits) {
  for (const Case& test : AllCases()) {
    SCOPED_TRACE(::testing::Message() << "head_dim " << test.head_dim << " window " << test.window);
    const Inputs inputs = RandomInputs(test);
    ExpectSameBits(RunCase(Backend::kCuda, test, inputs), RunCase(Backend::kHost, test, inputs));
  }
}

}  // namespace
}  // namespace prefscore
