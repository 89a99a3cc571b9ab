// SPDX-License-Identifier: Apache-2.0
// Runs the operations of server/kernels on the CPU or on a GPU, in memory that both can read. Tests are parametrised by
// the backend; without CUDA in the build there is the CPU alone, and without a GPU at hand the others skip.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "server/kernels/kernels.h"
#include "server/kernels/scalar_math.h"

#ifdef PREFSCORE_CUDA
#include <cuda_runtime.h>
#endif

namespace prefscore::testing {

using kernels::Bfloat16;
using kernels::ElementType;

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

enum class Backend { kHost, kCuda };

inline std::string BackendName(Backend backend) { return backend == Backend::kHost ? "Host" : "Cuda"; }

inline std::vector<Backend> Backends() {
#ifdef PREFSCORE_CUDA
  return {Backend::kHost, Backend::kCuda};
#else
  return {Backend::kHost};
#endif
}

// Why nothing runs on a GPU here; empty where one is.
inline std::string WhyNoGpu() {
#ifdef PREFSCORE_CUDA
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) return cudaGetErrorString(error);
  return count > 0 ? "" : "no CUDA device";
#else
  return "built without PREFSCORE_CUDA";
#endif
}

// Memory of one test, read and written by CPU and GPU. Each block lies between guards, which must be whole at the end.
class SharedMemory {
 public:
  explicit SharedMemory(Backend backend) : backend_(backend) {}
  SharedMemory(const SharedMemory&) = delete;

  ~SharedMemory() {
    for (const auto& [base, size] : blocks_) {
      const auto is_guard = [](std::byte value) { return value == kGuard; };
      EXPECT_TRUE(std::all_of(base, base + kGuardBytes, is_guard)) << "written before a block of " << size << " bytes";
      EXPECT_TRUE(std::all_of(base + kGuardBytes + size, base + 2 * kGuardBytes + size, is_guard))
          << "written beyond a block of " << size << " bytes";
      Free(base);
    }
  }

  // `offset` values beyond a 256-byte boundary, to try accesses that are not aligned.
  template <typename Value>
  std::span<Value> Copy(std::span<const Value> values, std::size_t offset = 0) {
    const std::size_t size = (values.size() + offset) * sizeof(Value);
    std::byte* base = Allocate(2 * kGuardBytes + size);
    std::fill_n(base, 2 * kGuardBytes + size, kGuard);
    blocks_.push_back({base, size});
    auto* begin = reinterpret_cast<Value*>(base + kGuardBytes) + offset;
    std::copy(values.begin(), values.end(), begin);
    return {begin, values.size()};
  }
  template <typename Value>
  std::span<Value> Copy(const std::vector<Value>& values, std::size_t offset = 0) {
    return Copy(std::span<const Value>(values), offset);
  }

 private:
  static constexpr std::size_t kGuardBytes = 1024;
  static constexpr std::byte kGuard{0xA5};

  struct Block {
    std::byte* base;
    std::size_t size;
  };

  std::byte* Allocate(std::size_t size) {
    void* memory = nullptr;
#ifdef PREFSCORE_CUDA
    if (backend_ == Backend::kCuda) {
      EXPECT_EQ(cudaMallocHost(&memory, size), cudaSuccess);
      return static_cast<std::byte*>(memory);
    }
#endif
    memory = std::aligned_alloc(256, (size + 255) / 256 * 256);
    return static_cast<std::byte*>(memory);
  }

  void Free(std::byte* base) {
#ifdef PREFSCORE_CUDA
    if (backend_ == Backend::kCuda) {
      cudaFreeHost(base);
      return;
    }
#endif
    std::free(base);
  }

  Backend backend_;
  std::vector<Block> blocks_;
};

#ifdef PREFSCORE_CUDA
#define PREFSCORE_DEFINE_RUN_KERNEL(Name)                                    \
  inline void RunKernel(Backend backend, const kernels::Name##Args& args) { \
    if (backend == Backend::kHost) return host::Name(args);                 \
    cuda::Name(args, nullptr);                                              \
    ASSERT_EQ(cudaGetLastError(), cudaSuccess) << #Name;                    \
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << #Name;               \
  }
#else
#define PREFSCORE_DEFINE_RUN_KERNEL(Name) \
  inline void RunKernel(Backend, const kernels::Name##Args& args) { host::Name(args); }
#endif
PREFSCORE_KERNELS(PREFSCORE_DEFINE_RUN_KERNEL)
#undef PREFSCORE_DEFINE_RUN_KERNEL

class KernelTest : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == Backend::kCuda && !WhyNoGpu().empty()) GTEST_SKIP() << "no GPU: " << WhyNoGpu();
  }
};

#define PREFSCORE_INSTANTIATE_KERNEL_TEST(Suite)                                        \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::ValuesIn(testing::Backends()),   \
                           [](const auto& info) { return testing::BackendName(info.param); })

// Compares a kernel to its twin.
class TwinTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!WhyNoGpu().empty()) GTEST_SKIP() << "no GPU: " << WhyNoGpu();
  }
};

inline std::vector<float> RandomFloats(std::size_t size, float range, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(size);
  for (float& value : values) value = range * (static_cast<float>(random()) * 0x1p-31f - 1.0f);
  return values;
}

// Elements as fp32 numbers: exact in their type.
inline std::vector<float> Rounded(ElementType type, std::vector<float> values) {
  if (type == ElementType::kBfloat16) {
    for (float& value : values) value = kernels::ToFloat(kernels::RoundTo<Bfloat16>(value));
  }
  return values;
}

// The bytes of a matrix of elements.
inline std::vector<std::byte> ToElements(ElementType type, std::span<const float> values) {
  std::vector<std::byte> bytes(values.size() * kernels::SizeOf(type));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Bfloat16 rounded = kernels::RoundTo<Bfloat16>(values[i]);
    const void* source = type == ElementType::kFloat32 ? static_cast<const void*>(&values[i]) : &rounded;
    std::memcpy(bytes.data() + i * kernels::SizeOf(type), source, kernels::SizeOf(type));
  }
  return bytes;
}

inline std::vector<float> FromElements(ElementType type, std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / kernels::SizeOf(type));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (type == ElementType::kFloat32) {
      std::memcpy(&values[i], bytes.data() + i * 4, 4);
    } else {
      Bfloat16 element;
      std::memcpy(&element, bytes.data() + i * 2, 2);
      values[i] = kernels::ToFloat(element);
    }
  }
  return values;
}

// Bits of every value; any NaN is any other.
template <typename Number>
void ExpectSameBits(std::span<const Number> values, std::span<const Number> expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i]) && std::isnan(expected[i])) continue;
    ASSERT_EQ(std::memcmp(&values[i], &expected[i], sizeof(Number)), 0)
        << "value " << i << ": " << values[i] << ", expected " << expected[i];
  }
}
template <typename Number>
void ExpectSameBits(const std::vector<Number>& values, const std::vector<Number>& expected) {
  ExpectSameBits(std::span<const Number>(values), std::span<const Number>(expected));
}

// |value - expected| is within `tolerance` (fp32's error) and the rounding to the type.
inline void ExpectNear(ElementType type, std::span<const float> values, std::span<const double> expected,
                       double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  const double rounding = type == ElementType::kFloat32 ? 0x1p-24 : 0x1p-8;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(expected[i])) {
      ASSERT_TRUE(std::isnan(values[i])) << "value " << i << " should be NaN";
      continue;
    }
    ASSERT_LE(std::abs(values[i] - expected[i]), tolerance + rounding * std::abs(expected[i]))
        << "value " << i << ": " << values[i] << ", expected " << expected[i];
  }
}

// More than the second dimension of a grid goes to. The emulation has no such limit, and is slow.
#ifdef PREFSCORE_CUDA_EMULATION
inline constexpr std::int64_t kManyRows = 301;
#else
inline constexpr std::int64_t kManyRows = 70'001;
#endif

inline constexpr ElementType kElementTypes[] = {ElementType::kFloat32, ElementType::kBfloat16};

}  // namespace prefscore::testing
