// SPDX-License-Identifier: Apache-2.0
// Stands in for CUDA's header of this name, so that the kernels compile as C++ and run on a CPU: indices, bounds,
// alignment, barriers, shuffles and bits are what they are on a GPU; speed and memory spaces are not. One thread of the
// CPU runs the lanes of a block by turns, in random order, switching where they synchronise (emulator.cc): a barrier
// that is missing shows as a wrong result, one that not all lanes reach as an abort.
//
// Holds what server/kernels and tests/testing/kernel_backend.h use, and nothing else.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ thread_local  // one block runs at a time

struct CUstream_st;
using cudaStream_t = CUstream_st*;
enum cudaError_t { cudaSuccess, cudaErrorInvalidConfiguration };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

extern dim3 threadIdx, blockIdx, blockDim;

namespace prefscore::testing {

// Runs `lane` once for every lane of every block.
cudaError_t Emulate(const cudaLaunchConfig_t& config, const std::function<void()>& lane);

void SynchronizeBlock();
void SynchronizeWarp();

// Puts the lane's value down, and takes that of the lane whose number differs in the given bits.
void Exchange(int lane_bits, std::size_t size, const void* mine, void* theirs);

}  // namespace prefscore::testing

inline void __syncthreads() { prefscore::testing::SynchronizeBlock(); }
inline void __syncwarp() { prefscore::testing::SynchronizeWarp(); }

template <typename Number>
Number __shfl_xor_sync(unsigned, Number value, int lane_bits) {
  Number other;
  prefscore::testing::Exchange(lane_bits, sizeof(Number), &value, &other);
  return other;
}

template <typename Number>
Number max(Number a, Number b) {
  return a > b ? a : b;
}
template <typename Number>
Number min(Number a, Number b) {
  return a < b ? a : b;
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  return prefscore::testing::Emulate(*config, [&] { kernel(arguments...); });
}

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel, cudaFuncAttribute, int) {
  return cudaSuccess;
}

inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetLastError();
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "an error of the emulation"; }
inline cudaError_t cudaMallocHost(void** memory, std::size_t size) {
  *memory = std::aligned_alloc(256, (size + 255) / 256 * 256);
  return cudaSuccess;
}
inline cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
