// SPDX-License-Identifier: Apache-2.0
// What the kernels share: wide accesses, sums over lanes in the order of row_lanes.h, launch sizes.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "server/kernels/kernels.h"
#include "server/kernels/row_lanes.h"
#include "server/kernels/scalar_math.h"

namespace prefscore::cuda {

using kernels::Bfloat16;
using kernels::kQuad;
using kernels::kWarpLanes;

inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// kCount neighbouring values that move in one access. An address must be a multiple of their size.
template <typename Value, int kCount>
struct alignas(sizeof(Value) * kCount) Pack {
  Value values[kCount];
};

template <int kCount, typename Value>
__device__ __forceinline__ Pack<Value, kCount> LoadPack(const Value* address) {
  return *reinterpret_cast<const Pack<Value, kCount>*>(address);
}

template <int kCount, typename Value>
__device__ __forceinline__ void StorePack(Value* address, const Pack<Value, kCount>& pack) {
  *reinterpret_cast<Pack<Value, kCount>*>(address) = pack;
}

// Host: may rows `stride` values apart be read `count` values at a time? A null pointer is never read.
template <typename Value>
bool IsAligned(const Value* address, std::int64_t stride, int count) {
  return reinterpret_cast<std::uintptr_t>(address) % (sizeof(Value) * count) == 0 && stride % count == 0;
}

// kCount neighbouring fp32 values: in quads, whose alignment the launcher has checked, or one.
template <int kCount>
__device__ __forceinline__ void LoadFloats(const float* address, float (&values)[kCount]) {
  constexpr int kWidth = kCount % kQuad == 0 ? kQuad : 1;
#pragma unroll
  for (int i = 0; i < kCount; i += kWidth) {
    const auto pack = LoadPack<kWidth>(address + i);
#pragma unroll
    for (int c = 0; c < kWidth; ++c) values[i + c] = pack.values[c];
  }
}

// The quad of values that begins at column `first` of a row; zeros beyond `width`. wide: the row may be read a quad at
// a time.
template <typename Value>
__device__ __forceinline__ void LoadQuad(const Value* row, std::int64_t first, std::int64_t width, bool wide,
                                         float (&values)[kQuad]) {
  if (wide && first + kQuad <= width) {
    const auto pack = LoadPack<kQuad>(row + first);
#pragma unroll
    for (int c = 0; c < kQuad; ++c) values[c] = kernels::ToFloat(pack.values[c]);
  } else {
#pragma unroll
    for (int c = 0; c < kQuad; ++c) values[c] = first + c < width ? kernels::ToFloat(row[first + c]) : 0.0f;
  }
}

template <typename Value>
__device__ __forceinline__ void StoreQuad(const float (&values)[kQuad], Value* row, std::int64_t first,
                                          std::int64_t width, bool wide) {
  if (wide && first + kQuad <= width) {
    Pack<Value, kQuad> pack;
#pragma unroll
    for (int c = 0; c < kQuad; ++c) pack.values[c] = kernels::RoundTo<Value>(values[c]);
    StorePack<kQuad>(row + first, pack);
  } else {
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      if (first + c < width) row[first + c] = kernels::RoundTo<Value>(values[c]);
    }
  }
}

// Of all lanes of the warp, in every lane.
template <typename Number>
__device__ __forceinline__ Number WarpSum(Number value) {
#pragma unroll
  for (int distance = kWarpLanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

// NaN is passed over, as fmaxf does.
__device__ __forceinline__ float WarpMaximum(float value) {
#pragma unroll
  for (int distance = kWarpLanes / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

// Of all lanes of the block, in every lane. scratch: shared, one number per warp, used by no other sum between the
// block's last barrier and its next.
template <typename Number>
__device__ __forceinline__ Number BlockSum(Number value, Number* scratch) {
  value = WarpSum(value);
  if (threadIdx.x % kWarpLanes == 0) scratch[threadIdx.x / kWarpLanes] = value;
  __syncthreads();
  Number total = scratch[0];
  for (unsigned warp = 1; warp < blockDim.x / kWarpLanes; ++warp) total += scratch[warp];
  return total;
}

__device__ __forceinline__ float BlockMaximum(float value, float* scratch) {
  value = WarpMaximum(value);
  if (threadIdx.x % kWarpLanes == 0) scratch[threadIdx.x / kWarpLanes] = value;
  __syncthreads();
  float maximum = scratch[0];
  for (unsigned warp = 1; warp < blockDim.x / kWarpLanes; ++warp) maximum = fmaxf(maximum, scratch[warp]);
  return maximum;
}

__device__ __forceinline__ std::int32_t BlockMinimum(std::int32_t value, std::int32_t* scratch) {
#pragma unroll
  for (int distance = kWarpLanes / 2; distance > 0; distance /= 2) {
    value = min(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  if (threadIdx.x % kWarpLanes == 0) scratch[threadIdx.x / kWarpLanes] = value;
  __syncthreads();
  std::int32_t minimum = scratch[0];
  for (unsigned warp = 1; warp < blockDim.x / kWarpLanes; ++warp) minimum = min(minimum, scratch[warp]);
  return minimum;
}

constexpr std::int64_t CeilDivide(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }

// What a launch asks for beyond a kernel's own shared memory; the kernel casts it. Aligned for any Pack.
extern __shared__ __align__(32) unsigned char dynamic_shared_memory[];

// Grids have one dimension, whose limit is 2^31 - 1 blocks; the others end at 65535. A number of blocks that cannot be,
// such as kRefused, fails as cudaErrorInvalidConfiguration; a failure shows in cudaGetLastError.
inline constexpr std::int64_t kRefused = -1;
inline constexpr std::int64_t kMaxBlocks = 0x7FFFFFFF;

template <typename... Parameters>
void Launch(void (*kernel)(Parameters...), std::int64_t num_blocks, dim3 lanes, std::size_t dynamic_shared_bytes,
            cudaStream_t stream, std::type_identity_t<Parameters>... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(num_blocks < 0 || num_blocks > kMaxBlocks ? 0 : static_cast<unsigned>(num_blocks));
  config.blockDim = lanes;
  config.dynamicSmemBytes = dynamic_shared_bytes;
  config.stream = stream;
  cudaLaunchKernelEx(&config, kernel, arguments...);
}

// function(element) with an element of the type as argument, to choose a template's instance.
template <typename Function>
void WithElement(kernels::ElementType type, const Function& function) {
  if (type == kernels::ElementType::kFloat32) {
    function(float{});
  } else {
    function(Bfloat16{});
  }
}

}  // namespace prefscore::cuda
