// SPDX-License-Identifier: Apache-2.0
// An NVIDIA GPU as a Device: our kernels, cublasLt, the torch wheel's flash attention and caching allocator.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "server/models/device/device.h"
#include "server/models/device/device_memory.h"

namespace prefscore {

// The GPU of that number; one Device, with one stream, for all models that are on it. FAILED_PRECONDITION says what is
// missing: a build with CUDA, a driver, a GPU of that number, an architecture that the kernels were compiled for.
absl::StatusOr<std::shared_ptr<Device>> OpenCudaDevice(int index);

// Of an open device; nothing where it cannot be asked. Thread-safe.
std::optional<DeviceMemory> MemoryOfCudaDevice(int index);

}  // namespace prefscore
