// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "server/kernels/row_lanes.h"
#include "tests/testing/kernel_backend.h"

namespace prefscore {
namespace {

using namespace testing;

enum class NormChoice { kNone, kRms, kLayer, kLayerWithoutBias };

struct Case {
  ElementType type = ElementType::kFloat32;
  std::int64_t num_rows = 3;
  std::int64_t width = 8;
  bool has_branch = true;
  bool has_bias = false;
  NormChoice branch_norm = NormChoice::kNone;
  NormChoice next_norm = NormChoice::kRms;
  std::size_t offset = 0;  // of every buffer from a 256-byte boundary, values
};

struct Inputs {
  std::vector<float> hidden, branch, branch_bias, weights[2], biases[2];
};

struct Outputs {
  std::vector<float> hidden, normalized;
};

constexpr float kEpsilon = 1e-3f;

Inputs RandomInputs(const Case& test) {
  const auto size = static_cast<std::size_t>(test.num_rows * test.width);
  return {RandomFloats(size, 3.0f, 1),
          RandomFloats(size, 2.0f, 2),
          RandomFloats(test.width, 0.5f, 3),
          {RandomFloats(test.width, 1.5f, 4), RandomFloats(test.width, 1.5f, 5)},
          {RandomFloats(test.width, 0.5f, 6), RandomFloats(test.width, 0.5f, 7)}};
}

Outputs RunCase(Backend backend, const Case& test, const Inputs& inputs) {
  SharedMemory memory(backend);
  const auto norm = [&](NormChoice choice, int place) {
    kernels::Norm norm;
    if (choice == NormChoice::kNone) return norm;
    norm.weight = memory.Copy(inputs.weights[place], test.offset).data();
    if (choice == NormChoice::kLayer) norm.bias = memory.Copy(inputs.biases[place], test.offset).data();
    norm.epsilon = kEpsilon;
    norm.subtract_mean = choice != NormChoice::kRms;
    return norm;
  };
  const auto hidden = memory.Copy(inputs.hidden, test.offset);
  const std::int64_t size = kernels::SizeOf(test.type);
  const auto normalized = memory.Copy(std::vector<std::byte>(inputs.hidden.size() * size), test.offset * size);
  RunKernel(backend, kernels::ResidualNormArgs{
      .type = test.type,
      .hidden = hidden.data(),
      .branch = test.has_branch ? memory.Copy(inputs.branch, test.offset).data() : nullptr,
      .branch_bias = test.has_bias ? memory.Copy(inputs.branch_bias, test.offset).data() : nullptr,
      .branch_norm = norm(test.branch_norm, 0),
      .next_norm = norm(test.next_norm, 1),
      .num_rows = test.num_rows,
      .width = test.width,
      .normalized = normalized.data()});
  return {{hidden.begin(), hidden.end()}, FromElements(test.type, normalized)};
}

void NormalizeExactly(NormChoice choice, const std::vector<float>& weight, const std::vector<float>& bias,
                      std::span<double> x) {
  if (choice == NormChoice::kNone) return;
  const auto width = static_cast<double>(x.size());
  double mean = 0.0, square = 0.0;
  if (choice != NormChoice::kRms) {
    for (const double value : x) mean += value / width;
  }
  for (const double value : x) square += (value - mean) * (value - mean) / width;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = (x[i] - mean) / std::sqrt(square + kEpsilon) * weight[i];
    if (choice == NormChoice::kLayer) x[i] += bias[i];
  }
}

void ExpectExact(Backend backend, const Case& test) {
  SCOPED_TRACE(::testing::Message() << "width " << test.width << " type " << static_cast<int>(test.type) << " norms "
                                    << static_cast<int>(test.branch_norm) << static_cast<int>(test.next_norm)
                                    << " branch " << test.has_branch << " bias " << test.has_bias << " offset "
                                    << test.offset);
  const Inputs inputs = RandomInputs(test);
  const Outputs outputs = RunCase(backend, test, inputs);
  std::vector<double> hidden(inputs.hidden.begin(), inputs.hidden.end()), normalized;
  for (std::int64_t row = 0; row < test.num_rows; ++row) {
    const auto begin = inputs.branch.begin() + row * test.width;
    std::vector<double> branch(begin, begin + test.width);
    for (std::int64_t i = 0; i < test.width; ++i) branch[i] += test.has_bias ? inputs.branch_bias[i] : 0.0f;
    NormalizeExactly(test.branch_norm, inputs.weights[0], inputs.biases[0], branch);
    std::vector<double> x(test.width);
    for (std::int64_t i = 0; i < test.width; ++i) {
      double& value = hidden[row * test.width + i];
      if (test.has_branch) value += branch[i];
      x[i] = value;
    }
    NormalizeExactly(test.next_norm, inputs.weights[1], inputs.biases[1], x);
    normalized.insert(normalized.end(), x.begin(), x.end());
  }
  ExpectNear(ElementType::kFloat32, outputs.hidden, hidden, 2e-6);
  ExpectNear(test.type, outputs.normalized, normalized, 5e-6);
}

// Widths below, at and beyond what lanes and quads divide; every instance of the kernel.
constexpr std::int64_t kWidths[] = {1, 2, 7, 8, 33, 255, 256, 896, 1030, 4096, 5000, 16384, 20001, 32768};

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const ElementType type : kElementTypes) {
    for (const std::int64_t width : kWidths) {
      cases.push_back({.type = type, .width = width});
      cases.push_back({.type = type, .width = width, .offset = 1});
    }
    for (const NormChoice branch_norm : {NormChoice::kNone, NormChoice::kRms, NormChoice::kLayer}) {
      for (const NormChoice next_norm :
           {NormChoice::kNone, NormChoice::kRms, NormChoice::kLayer, NormChoice::kLayerWithoutBias}) {
        for (const bool has_bias : {false, true}) {
          cases.push_back({.type = type, .width = 132, .has_bias = has_bias, .branch_norm = branch_norm,
                           .next_norm = next_norm});
        }
        cases.push_back({.type = type, .width = 132, .has_branch = false, .next_norm = next_norm});
      }
    }
  }
  return cases;
}

class ResidualNormTest : public KernelTest {};

TEST_P(ResidualNormTest, MatchesTheFormula) {
  for (const Case& test : AllCases()) ExpectExact(GetParam(), test);
}

// More rows than the second dimension of a grid has; the first rows alone give the same bits.
TEST_P(ResidualNormTest, ARowDependsOnItselfAlone) {
  for (const ElementType type : kElementTypes) {
    const Case many{.type = type, .num_rows = kManyRows, .width = 20, .branch_norm = NormChoice::kRms};
    const Inputs inputs = RandomInputs(many);
    const Outputs all = RunCase(GetParam(), many, inputs);
    for (const std::int64_t row : {std::int64_t{0}, std::int64_t{1}, kManyRows / 2, many.num_rows - 1}) {
      const auto cut = [&](const std::vector<float>& values) {
        return std::vector<float>(values.begin() + row * many.width, values.begin() + (row + 1) * many.width);
      };
      Inputs one = inputs;
      one.hidden = cut(inputs.hidden);
      one.branch = cut(inputs.branch);
      Case alone = many;
      alone.num_rows = 1;
      const Outputs outputs = RunCase(GetParam(), alone, one);
      ExpectSameBits(outputs.hidden, cut(all.hidden));
      ExpectSameBits(outputs.normalized, cut(all.normalized));
    }
  }
}

// Where a row begins decides how it is read, and nothing else.
TEST_P(ResidualNormTest, AlignmentDoesNotChangeBits) {
  for (const std::int64_t width : kWidths) {
    Case aligned{.type = ElementType::kBfloat16, .width = width, .branch_norm = NormChoice::kLayer};
    Case shifted = aligned;
    shifted.offset = 1;
    const Inputs inputs = RandomInputs(aligned);
    ExpectSameBits(RunCase(GetParam(), shifted, inputs).normalized, RunCase(GetParam(), aligned, inputs).normalized);
  }
}

TEST_P(ResidualNormTest, NanStaysInItsRow) {
  const Case test{.num_rows = 3, .width = 100, .branch_norm = NormChoice::kRms};
  Inputs inputs = RandomInputs(test);
  const Outputs clean = RunCase(GetParam(), test, inputs);
  inputs.branch[150] = kNan;
  const Outputs outputs = RunCase(GetParam(), test, inputs);
  for (std::size_t i = 0; i < outputs.normalized.size(); ++i) {
    EXPECT_EQ(std::isnan(outputs.normalized[i]), i / 100 == 1) << i;
    if (i / 100 == 1) continue;
    EXPECT_EQ(outputs.normalized[i], clean.normalized[i]) << i;
  }
}

TEST_P(ResidualNormTest, NoRows) {
  const Case test{.num_rows = 0};
  EXPECT_TRUE(RunCase(GetParam(), test, RandomInputs(test)).normalized.empty());
}

PREFSCORE_INSTANTIATE_KERNEL_TEST(ResidualNormTest);

class ResidualNormTwinTest : public TwinTest {};

#ifdef PREFSCORE_CUDA
TEST_F(ResidualNormTwinTest, ARowThatIsTooWideFailsToLaunch) {
  kernels::ResidualNormArgs args;
  args.num_rows = 1;
  args.width = kernels::kMaxRowWidth + 1;
  cuda::ResidualNorm(args, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
}
#endif

TEST_F(ResidualNormTwinTest, SameBits) {
  for (const Case& test : AllCases()) {
    SCOPED_TRACE(test.width);
    const Inputs inputs = RandomInputs(test);
    const Outputs kernel = RunCase(Backend::kCuda, test, inputs);
    const Outputs twin = RunCase(Backend::kHost, test, inputs);
    ExpectSameBits(kernel.hidden, twin.hidden);
    ExpectSameBits(kernel.normalized, twin.normalized);
  }
}

}  // namespace
}  // namespace prefscore
