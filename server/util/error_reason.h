// SPDX-License-Identifier: Apache-2.0
// Errors that know their reason more closely than their code tells, so that the edge can tell it to programs.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace prefscore {

// The reason of an ErrorInfo, in place of that of the code. What carries one is not to be tried again, unless it carries a
// retry delay (retry_delay.h), too.
inline constexpr char kOutOfMemoryReason[] = "OUT_OF_MEMORY";
inline constexpr char kModelNotLoadedReason[] = "MODEL_NOT_LOADED";

// The same error, carrying `reason`. REQUIRES: `status` is not OK.
absl::Status WithReason(absl::Status status, const std::string& reason);

// The reason that a status carries; empty where it carries none.
std::string ReasonOf(const absl::Status& status);

}  // namespace prefscore
