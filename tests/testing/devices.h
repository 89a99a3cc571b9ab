// SPDX-License-Identifier: Apache-2.0
// The devices that tests of the device decoder run on: the CPU with the kernels' twins, a GPU where there is one, and,
// where a test links emulated_kernels, the CPU with the kernels themselves.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/models/device/cuda/cuda_device.h"
#include "server/models/device/host_device.h"
#include "tests/testing/faulty_device.h"

namespace prefscore::testing {

#ifdef PREFSCORE_CUDA_EMULATION
// Matrix products of the host, kernels of the GPU.
class EmulatedDevice : public FaultyDevice {
 public:
  EmulatedDevice() : FaultyDevice(MakeHostDevice()) {}

#define PREFSCORE_EMULATED_KERNEL(Name) \
  void Name(const kernels::Name##Args& args) override { cuda::Name(args, nullptr); }
  PREFSCORE_KERNELS(PREFSCORE_EMULATED_KERNEL)
#undef PREFSCORE_EMULATED_KERNEL
};

inline std::vector<std::string> DeviceNames() { return {"emulated"}; }

inline absl::StatusOr<std::shared_ptr<Device>> OpenDevice(const std::string&) {
  return std::make_shared<EmulatedDevice>();
}
#else
inline std::vector<std::string> DeviceNames() { return {"host", "cuda"}; }

// A device that cannot be opened is a reason to skip.
inline absl::StatusOr<std::shared_ptr<Device>> OpenDevice(const std::string& name) {
  if (name == "host") return MakeHostDevice();
  // Kept open to the end: each opening would choose all its algorithms anew.
  static const auto* const cuda = new absl::StatusOr<std::shared_ptr<Device>>(OpenCudaDevice(0));
  return *cuda;
}
#endif

}  // namespace prefscore::testing
