// SPDX-License-Identifier: Apache-2.0
// The devices that tests of the device decoder run on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/models/device/device.h"
#include "server/models/device/host_device.h"

namespace prefscore::testing {

inline std::vector<std::string> DeviceNames() { return {"host"}; }

inline absl::StatusOr<std::shared_ptr<Device>> OpenDevice(const std::string& name) { return MakeHostDevice(); }

}  // namespace prefscore::testing
