// SPDX-License-Identifier: Apache-2.0
// The devices that tests of the device decoder run on: the CPU, and a GPU where there is one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/models/device/cuda/cuda_device.h"
#include "server/models/device/host_device.h"

namespace prefscore::testing {

inline std::vector<std::string> DeviceNames() { return {"host", "cuda"}; }

// A device that cannot be opened is a reason to skip.
inline absl::StatusOr<std::shared_ptr<Device>> OpenDevice(const std::string& name) {
  if (name == "host") return MakeHostDevice();
  return OpenCudaDevice(0);
}

}  // namespace prefscore::testing
