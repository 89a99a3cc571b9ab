// SPDX-License-Identifier: Apache-2.0
// The CPU as a Device: every operation runs in its call, plainly and slowly. What it is for: the device decoder's tests
// and `scripts/gpu-check --dry-run`.
#pragma once

#include <memory>

#include "server/models/device/device.h"

namespace prefscore {

std::shared_ptr<Device> MakeHostDevice();

}  // namespace prefscore
