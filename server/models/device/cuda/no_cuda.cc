// SPDX-License-Identifier: Apache-2.0
// Stands in for this folder where the build has no CUDA.
#include "absl/strings/str_cat.h"
#include "server/models/device/cuda/cuda_device.h"

namespace prefscore {

absl::StatusOr<std::shared_ptr<Device>> OpenCudaDevice(int index) {
  return absl::FailedPreconditionError(
      absl::StrCat("device 'cuda:", index, "': this build has no CUDA; build with scripts/build --cuda"));
}

std::optional<DeviceMemory> MemoryOfCudaDevice(int) { return std::nullopt; }

}  // namespace prefscore
