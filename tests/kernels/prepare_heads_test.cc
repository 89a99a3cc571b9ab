// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/kernel_backend.h"

namespace prefscore {
namespace {

using namespace testing;

enum class NormChoice { kNone, kPerHead, kWholeRow, kPerHeadLayer };

struct Case {
  ElementType type = ElementType::kFloat32;
  std::int64_t num_rows = 4;  // of the result
  std::int64_t num_heads = 2;
  std::int64_t head_dim = 16;
  std::int64_t half = 8;  // 0: no rotation
  NormChoice norm = NormChoice::kNone;
  bool has_bias = false;
  bool scattered = false;  // rows of the result come from anywhere
  std::int64_t gap = 0;    // columns of the projection before and after the heads
  std::size_t offset = 0;

  std::int64_t width() const { return num_heads * head_dim; }
  std::int64_t stride() const { return width() + 2 * gap; }
};

constexpr std::int64_t kSourceRows = 5, kTableRows = 7;
constexpr float kEpsilon = 1e-3f;

struct Inputs {
  std::vector<float> projection, bias, norm_weight, norm_bias, cosines, sines;
  std::vector<std::int32_t> source_rows, rope_rows;
};

Inputs RandomInputs(const Case& test) {
  Inputs inputs;
  const std::int64_t source_rows = test.scattered ? kSourceRows : test.num_rows;
  inputs.projection = Rounded(test.type, RandomFloats(source_rows * test.stride(), 3.0f, 1));
  inputs.bias = RandomFloats(test.width(), 1.0f, 2);
  inputs.norm_weight = RandomFloats(test.width(), 1.5f, 3);
  inputs.norm_bias = RandomFloats(test.width(), 0.5f, 4);
  inputs.cosines = RandomFloats(kTableRows * test.half, 1.2f, 5);  // an attention factor may take them beyond 1
  inputs.sines = RandomFloats(kTableRows * test.half, 1.2f, 6);
  for (std::int64_t i = 0; i < test.num_rows; ++i) {
    inputs.source_rows.push_back(static_cast<std::int32_t>(i * 3 % kSourceRows));
    inputs.rope_rows.push_back(static_cast<std::int32_t>(i * 5 % kTableRows));
  }
  return inputs;
}

std::vector<float> RunCase(Backend backend, const Case& test, const Inputs& inputs) {
  SharedMemory memory(backend);
  const std::int64_t size = kernels::SizeOf(test.type);
  kernels::Norm norm;
  if (test.norm != NormChoice::kNone) {
    norm.weight = memory.Copy(inputs.norm_weight, test.offset).data();
    norm.epsilon = kEpsilon;
  }
  if (test.norm == NormChoice::kPerHeadLayer) {
    norm.bias = memory.Copy(inputs.norm_bias, test.offset).data();
    norm.subtract_mean = true;
  }
  const auto projection = memory.Copy(ToElements(test.type, inputs.projection), test.offset * size);
  const auto out = memory.Copy(std::vector<std::byte>(test.num_rows * test.width() * size), test.offset * size);
  RunKernel(backend, kernels::PrepareHeadsArgs{
      .type = test.type,
      .projection = projection.data() + test.gap * size,
      .stride = test.stride(),
      .source_rows = test.scattered ? memory.Copy(inputs.source_rows).data() : nullptr,
      .rope_rows = memory.Copy(inputs.rope_rows).data(),
      .num_rows = test.num_rows,
      .num_heads = test.num_heads,
      .head_dim = test.head_dim,
      .bias = test.has_bias ? memory.Copy(inputs.bias, test.offset).data() : nullptr,
      .norm = norm,
      .norm_whole_row = test.norm == NormChoice::kWholeRow,
      .cosines = test.half > 0 ? memory.Copy(inputs.cosines, test.offset).data() : nullptr,
      .sines = test.half > 0 ? memory.Copy(inputs.sines, test.offset).data() : nullptr,
      .half = test.half,
      .out = out.data()});
  return FromElements(test.type, out);
}

void NormalizeExactly(const Case& test, const Inputs& inputs, std::span<double> x) {
  const auto size = static_cast<double>(x.size());
  double mean = 0.0, square = 0.0;
  if (test.norm == NormChoice::kPerHeadLayer) {
    for (const double value : x) mean += value / size;
  }
  for (const double value : x) square += (value - mean) * (value - mean) / size;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = (x[i] - mean) / std::sqrt(square + kEpsilon) * inputs.norm_weight[i];
    if (test.norm == NormChoice::kPerHeadLayer) x[i] += inputs.norm_bias[i];
  }
}

std::vector<double> Exact(const Case& test, const Inputs& inputs) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < test.num_rows; ++i) {
    const std::int64_t source = test.scattered ? inputs.source_rows[i] : i;
    const auto begin = inputs.projection.begin() + source * test.stride() + test.gap;
    std::vector<double> row(begin, begin + test.width());
    for (std::int64_t j = 0; j < test.width(); ++j) row[j] += test.has_bias ? inputs.bias[j] : 0.0f;
    if (test.norm == NormChoice::kWholeRow) NormalizeExactly(test, inputs, row);
    for (std::int64_t head = 0; head < test.num_heads; ++head) {
      const std::span<double> x = std::span(row).subspan(head * test.head_dim, test.head_dim);
      if (test.norm != NormChoice::kNone && test.norm != NormChoice::kWholeRow) NormalizeExactly(test, inputs, x);
      for (std::int64_t j = 0; j < test.half; ++j) {
        const double cosine = inputs.cosines[inputs.rope_rows[i] * test.half + j];
        const double sine = inputs.sines[inputs.rope_rows[i] * test.half + j];
        const double first = x[j], second = x[test.half + j];
        x[j] = first * cosine - second * sine;
        x[test.half + j] = second * cosine + first * sine;
      }
    }
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const ElementType type : kElementTypes) {
    for (const NormChoice norm :
         {NormChoice::kNone, NormChoice::kPerHead, NormChoice::kWholeRow, NormChoice::kPerHeadLayer}) {
      for (const bool has_bias : {false, true}) {
        for (const bool scattered : {false, true}) {
          cases.push_back({type, 9, 4, 64, 32, norm, has_bias, scattered});
          cases.push_back({type, 9, 3, 80, 16, norm, has_bias, scattered, 24});  // part of a head rotates
          cases.push_back({type, 5, 4, 64, 0, norm, has_bias, scattered});
          cases.push_back({type, 5, 3, 18, 5, norm, has_bias, scattered, 1});  // nothing is aligned
          cases.push_back({type, 5, 2, 32, 16, norm, has_bias, scattered, 8, 1});
        }
      }
      cases.push_back({type, 2, 32, 128, 64, norm});  // more items than lanes
      cases.push_back({type, 2, 300, 8, 4, norm});
      cases.push_back({type, 3, 1, 256, 128, norm});
      cases.push_back({type, 3, 1, 2, 1, norm});
    }
  }
  return cases;
}

class PrepareHeadsTest : public KernelTest {};

TEST_P(PrepareHeadsTest, MatchesTheFormula) {
  for (const Case& test : AllCases()) {
    SCOPED_TRACE(::testing::Message() << "heads " << test.num_heads << " x " << test.head_dim << " half " << test.half
                                      << " norm " << static_cast<int>(test.norm) << " type "
                                      << static_cast<int>(test.type));
    const Inputs inputs = RandomInputs(test);
    ExpectNear(test.type, RunCase(GetParam(), test, inputs), Exact(test, inputs), 5e-6);
  }
}

TEST_P(PrepareHeadsTest, ARowDependsOnItselfAlone) {
  for (const NormChoice norm : {NormChoice::kNone, NormChoice::kPerHead, NormChoice::kWholeRow}) {
    const Case many{.type = ElementType::kBfloat16, .num_rows = kManyRows, .num_heads = 2, .head_dim = 16, .half = 8,
                    .norm = norm};
    const Inputs inputs = RandomInputs(many);
    const std::vector<float> all = RunCase(GetParam(), many, inputs);
    for (const std::int64_t row : {std::int64_t{0}, kManyRows / 2, many.num_rows - 1}) {
      Case alone = many;
      alone.num_rows = 1;
      Inputs one = inputs;
      one.projection = {inputs.projection.begin() + row * many.width(),
                        inputs.projection.begin() + (row + 1) * many.width()};
      one.rope_rows = {inputs.rope_rows[row]};
      ExpectSameBits(RunCase(GetParam(), alone, one),
                     std::vector<float>(all.begin() + row * many.width(), all.begin() + (row + 1) * many.width()));
    }
  }
}

TEST_P(PrepareHeadsTest, AlignmentDoesNotChangeBits) {
  for (const NormChoice norm : {NormChoice::kNone, NormChoice::kPerHead, NormChoice::kWholeRow}) {
    Case aligned{.type = ElementType::kBfloat16, .num_heads = 4, .head_dim = 64, .half = 32, .norm = norm};
    Case shifted = aligned;
    shifted.offset = 1;
    const Inputs inputs = RandomInputs(aligned);
    ExpectSameBits(RunCase(GetParam(), shifted, inputs), RunCase(GetParam(), aligned, inputs));
  }
}

TEST_P(PrepareHeadsTest, NoRows) {
  const Case test{.num_rows = 0};
  EXPECT_TRUE(RunCase(GetParam(), test, RandomInputs(test)).empty());
}

PREFSCORE_INSTANTIATE_KERNEL_TEST(PrepareHeadsTest);

class PrepareHeadsTwinTest : public TwinTest {};

TEST_F(PrepareHeadsTwinTest, SameBits) {
  for (const Case& test : AllCases()) {
    const Inputs inputs = RandomInputs(test);
    ExpectSameBits(RunCase(Backend::kCuda, test, inputs), RunCase(Backend::kHost, test, inputs));
  }
}

}  // namespace
}  // namespace prefscore
