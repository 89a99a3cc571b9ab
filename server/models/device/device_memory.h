// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace prefscore {

// What a device has of memory of its own, and what is taken of it by all processes together.
struct DeviceMemory {
  std::int64_t used_bytes = 0;
  std::int64_t total_bytes = 0;
};

}  // namespace prefscore
