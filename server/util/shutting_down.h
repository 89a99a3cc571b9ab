// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"

namespace prefscore {

// What whoever comes too late is told.
inline absl::Status ShuttingDown() { return absl::UnavailableError("the server is shutting down"); }

}  // namespace prefscore
