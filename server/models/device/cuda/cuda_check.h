// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <new>
#include <string>

#include "server/models/device/device.h"

namespace prefscore {

// Throws what a call of the CUDA runtime returned, unless it succeeded. what: the call.
inline void CheckCuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // take it: the next call must not report it again
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
  throw DeviceError(std::string(what) + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

}  // namespace prefscore
