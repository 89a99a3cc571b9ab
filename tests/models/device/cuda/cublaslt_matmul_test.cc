// SPDX-License-Identifier: Apache-2.0
// How the library is called, held to its header's meaning by a library that runs on the CPU (fake_cublaslt.cc).
#include "server/models/device/cuda/cublaslt_matmul.h"

#include <cublasLt.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

extern "C" {
extern int fake_live_operations;
extern std::uint64_t fake_refused_rows;
extern cublasStatus_t fake_check_status, fake_attribute_status;
}

namespace prefscore {
namespace {

using kernels::ElementType;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Small integers: every product and sum of them is exact, in bfloat16 too.
float Value(std::int64_t index) { return static_cast<float>(index * 7 % 5) - 2.0f; }

std::uint16_t Bfloat16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<std::uint16_t>(bits >> 16);
}

class CublasLtMatMulTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto matmul = CublasLtMatMul::Open();
    ASSERT_TRUE(matmul.ok()) << std::string(matmul.status().message());
    matmul_ = *std::move(matmul);
  }
  void TearDown() override {
    fake_refused_rows = 0;
    fake_check_status = fake_attribute_status = CUBLAS_STATUS_SUCCESS;
    matmul_.reset();
    EXPECT_EQ(fake_live_operations, 0);
  }

  // What a product with a weight [16][8] throws; empty: it does not.
  std::string Fault(std::int64_t num_rows = 1) {
    std::vector<std::uint16_t> x(num_rows * 8), weight(16 * 8);
    std::vector<float> out(num_rows * 16);
    try {
      matmul_->MatMul({.type = ElementType::kBfloat16,
                       .x = x.data(),
                       .weight = weight.data(),
                       .num_rows = num_rows,
                       .num_in = 8,
                       .num_out = 16,
                       .out = out.data()},
                      nullptr);
    } catch (const DeviceError& error) {
      return error.what();
    }
    return "";
  }

  // out[row][o] = sum over i of x[row][i] * weight[o][i], row-major.
  template <typename In, typename Out, typename ToIn, typename ToOut>
  void Check(ElementType type, ElementType out_type, std::int64_t rows, std::int64_t num_in, std::int64_t num_out,
             ToIn to_in, ToOut to_out) {
    std::vector<In> x, weight;
    for (std::int64_t i = 0; i < rows * num_in; ++i) x.push_back(to_in(Value(i)));
    for (std::int64_t i = 0; i < num_out * num_in; ++i) weight.push_back(to_in(Value(3 * i + 1)));
    std::vector<Out> out(rows * num_out), expected(rows * num_out);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t o = 0; o < num_out; ++o) {
        float sum = 0.0f;
        for (std::int64_t i = 0; i < num_in; ++i) sum += Value(row * num_in + i) * Value(3 * (o * num_in + i) + 1);
        expected[row * num_out + o] = to_out(sum);
      }
    }
    matmul_->MatMul({.type = type,
                     .x = x.data(),
                     .weight = weight.data(),
                     .num_rows = rows,
                     .num_in = num_in,
                     .num_out = num_out,
                     .out_type = out_type,
                     .out = out.data()},
                    nullptr);
    EXPECT_EQ(out, expected) << rows << " rows, [" << num_out << "][" << num_in << "]";
  }

  std::unique_ptr<CublasLtMatMul> matmul_;
};

TEST_F(CublasLtMatMulTest, MultipliesRowsWithTheTransposedWeight) {
  const auto same = [](float value) { return value; };
  for (const std::int64_t rows : {1, 3, 8, 0}) {
    Check<float, float>(ElementType::kFloat32, ElementType::kFloat32, rows, 5, 7, same, same);
    Check<std::uint16_t, float>(ElementType::kBfloat16, ElementType::kFloat32, rows, 6, 4, Bfloat16, same);
    Check<std::uint16_t, std::uint16_t>(ElementType::kBfloat16, ElementType::kBfloat16, rows, 6, 4, Bfloat16, Bfloat16);
  }
}

TEST_F(CublasLtMatMulTest, TakesTheFirstAlgorithmThatKeepsRowsApart) {
  const MatMulArgs args{.type = ElementType::kBfloat16, .num_in = 8, .num_out = 16};
  EXPECT_THAT(matmul_->Describe(args), HasSubstr("algo 3,"));
  EXPECT_EQ(matmul_->version(), 130100u);
}

// Every row count that can come is asked about before the first product, not found out in the middle of a batch.
TEST_F(CublasLtMatMulTest, RefusesAShapeWhoseAlgorithmsDoNotTakeEveryRowCount) {
  for (const std::uint64_t rows : {3, 4999, static_cast<int>(kMaxMatMulRows)}) {
    fake_refused_rows = rows;
    EXPECT_THAT(Fault(), AllOf(HasSubstr("weight [16][8]"), HasSubstr("it does not take " + std::to_string(rows))));
  }
  fake_refused_rows = kMaxMatMulRows + 1;
  EXPECT_EQ(Fault(), "");
  EXPECT_THAT(Fault(kMaxMatMulRows + 1), HasSubstr("16385 rows, over 16384"));
}

// After a fault nothing is kept that a later product would take for an algorithm.
TEST_F(CublasLtMatMulTest, KeepsNoHalfMadePlan) {
  fake_attribute_status = CUBLAS_STATUS_INTERNAL_ERROR;
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Fault(), HasSubstr("cublasLtMatmulDescSetAttribute: a fault"));
  fake_attribute_status = CUBLAS_STATUS_SUCCESS;
  fake_refused_rows = 2;
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Fault(), HasSubstr("no algorithm"));
  EXPECT_EQ(fake_live_operations, 0);
  fake_refused_rows = 0;
  EXPECT_EQ(Fault(), "");
}

// A library that cannot answer has not said no.
TEST_F(CublasLtMatMulTest, AFaultOfTheCheckIsNoRefusal) {
  fake_check_status = CUBLAS_STATUS_INTERNAL_ERROR;
  EXPECT_EQ(Fault(), "cublasLtMatmulAlgoCheck: a fault");
}

}  // namespace
}  // namespace prefscore
