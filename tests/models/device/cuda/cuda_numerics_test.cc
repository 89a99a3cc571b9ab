// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/cuda/cuda_numerics.h"

#include <gtest/gtest.h>

namespace prefscore {
namespace {

const CudaArithmetic kH200{.device_name = "NVIDIA H200",
                           .compute_capability = 90,
                           .num_processors = 132,
                           .torch_version = "2.11.0",
                           .cublaslt_version = 130100};

TEST(CudaNumericsTest, NamesAllThatDecidesBits) {
  EXPECT_EQ(CudaNumericsName(kH200), "cuda-sm90-nvidia-h200-132sms-torch2.11.0-cublaslt130100");
}

// Another of them is another name, and with it another key of the caches.
TEST(CudaNumericsTest, ChangesWithEach) {
  CudaArithmetic other = kH200;
  other.device_name = "NVIDIA H100 80GB HBM3";
  EXPECT_EQ(CudaNumericsName(other), "cuda-sm90-nvidia-h100-80gb-hbm3-132sms-torch2.11.0-cublaslt130100");
  other = kH200;
  other.num_processors = 114;
  EXPECT_NE(CudaNumericsName(other), CudaNumericsName(kH200));
  other = kH200;
  other.torch_version = "2.12.0";
  EXPECT_NE(CudaNumericsName(other), CudaNumericsName(kH200));
  other = kH200;
  other.cublaslt_version = 130200;
  EXPECT_NE(CudaNumericsName(other), CudaNumericsName(kH200));
}

}  // namespace
}  // namespace prefscore
