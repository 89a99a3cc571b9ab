// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/kernel_backend.h"

namespace prefscore {
namespace {

using namespace testing;
using kernels::Activation;

struct Case {
  ElementType type = ElementType::kFloat32;
  Activation activation = Activation::kSilu;
  bool gated = true;
  bool has_bias = false;
  std::int64_t num_rows = 3;
  std::int64_t width = 8;
  std::int64_t gap = 0;  // columns of the projection beyond gate and up
  std::size_t offset = 0;

  std::int64_t stride() const { return (gated ? 2 : 1) * width + gap; }
};

struct Inputs {
  std::vector<float> projection, gate_bias, up_bias;  // projection: gate | up
};

Inputs RandomInputs(const Case& test) {
  return {Rounded(test.type, RandomFloats(test.num_rows * test.stride(), 6.0f, 1)), RandomFloats(test.width, 1.0f, 2),
          RandomFloats(test.width, 1.0f, 3)};
}

std::vector<float> RunCase(Backend backend, const Case& test, const Inputs& inputs) {
  SharedMemory memory(backend);
  const std::int64_t size = kernels::SizeOf(test.type);
  const auto projection = memory.Copy(ToElements(test.type, inputs.projection), test.offset * size);
  const auto out = memory.Copy(std::vector<std::byte>(test.num_rows * test.width * size), test.offset * size);
  RunKernel(backend, kernels::ActivateArgs{
      .type = test.type,
      .activation = test.activation,
      .gate = test.gated ? projection.data() : nullptr,
      .up = projection.data() + (test.gated ? test.width * size : 0),
      .stride = test.stride(),
      .gate_bias = test.has_bias && test.gated ? memory.Copy(inputs.gate_bias, test.offset).data() : nullptr,
      .up_bias = test.has_bias ? memory.Copy(inputs.up_bias, test.offset).data() : nullptr,
      .num_rows = test.num_rows,
      .width = test.width,
      .out = out.data()});
  return FromElements(test.type, out);
}

double Exact(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu: return x / (1.0 + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kRelu: return std::max(x, 0.0);
  }
  return 0.0;
}

void ExpectExact(Backend backend, const Case& test) {
  const Inputs inputs = RandomInputs(test);
  std::vector<double> expected;
  for (std::int64_t row = 0; row < test.num_rows; ++row) {
    const float* projection = inputs.projection.data() + row * test.stride();
    for (std::int64_t i = 0; i < test.width; ++i) {
      const double gate = projection[i] + (test.has_bias ? static_cast<double>(inputs.gate_bias[i]) : 0.0);
      const double up = projection[test.gated ? test.width + i : i] +
                        (test.has_bias ? static_cast<double>(inputs.up_bias[i]) : 0.0);
      expected.push_back(test.gated ? Exact(test.activation, gate) * up : Exact(test.activation, up));
    }
  }
  SCOPED_TRACE(::testing::Message() << "type " << static_cast<int>(test.type) << " activation "
                                    << static_cast<int>(test.activation) << " gated " << test.gated << " width "
                                    << test.width);
  ExpectNear(test.type, RunCase(backend, test, inputs), expected, 2e-5);  // values reach 49
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const ElementType type : kElementTypes) {
    for (const Activation activation :
         {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu}) {
      for (const bool gated : {false, true}) {
        for (const bool has_bias : {false, true}) {
          cases.push_back({type, activation, gated, has_bias, 3, 40});
          cases.push_back({type, activation, gated, has_bias, 2, 4999, 1});
        }
      }
    }
    for (const std::int64_t width : {1, 5, 8, 12, 256, 2048, 2056, 4864}) {
      for (const std::size_t offset : {0, 1}) {
        cases.push_back({.type = type, .has_bias = true, .width = width, .gap = 8, .offset = offset});
      }
    }
  }
  return cases;
}

class ActivateTest : public KernelTest {};

TEST_P(ActivateTest, MatchesTheFormula) {
  for (const Case& test : AllCases()) ExpectExact(GetParam(), test);
}

TEST_P(ActivateTest, ManyRowsAndNone) {
  const Case many{.type = ElementType::kBfloat16, .num_rows = kManyRows, .width = 8};
  ExpectExact(GetParam(), many);
  const Case none{.num_rows = 0};
  EXPECT_TRUE(RunCase(GetParam(), none, RandomInputs(none)).empty());
}

TEST_P(ActivateTest, NanStaysInItsPlace) {
  const Case test{.num_rows = 2, .width = 16};
  Inputs inputs = RandomInputs(test);
  inputs.projection[test.stride() + 3] = kNan;
  const std::vector<float> out = RunCase(GetParam(), test, inputs);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i == 16 + 3) << i;
}

PREFSCORE_INSTANTIATE_KERNEL_TEST(ActivateTest);

class ActivateTwinTest : public TwinTest {};

// kGeluErf takes erfc in double from the library: its last fp32 bit may differ.
TEST_F(ActivateTwinTest, SameBits) {
  for (const Case& test : AllCases()) {
    const Inputs inputs = RandomInputs(test);
    const std::vector<float> kernel = RunCase(Backend::kCuda, test, inputs);
    const std::vector<float> twin = RunCase(Backend::kHost, test, inputs);
    if (test.activation != Activation::kGeluErf) {
      ExpectSameBits(kernel, twin);
      continue;
    }
    ASSERT_EQ(kernel.size(), twin.size());
    const float one_bit = test.type == ElementType::kFloat32 ? 0x1p-23f : 0x1p-7f;
    for (std::size_t i = 0; i < kernel.size(); ++i) {
      EXPECT_LE(std::abs(kernel[i] - twin[i]), one_bit * std::abs(twin[i])) << i;
    }
  }
}

}  // namespace
}  // namespace prefscore
