// SPDX-License-Identifier: Apache-2.0
// Errors that carry the reason which the edge tells programs, where it is not the one of their code.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace prefscore {

// The same error, carrying `reason`, such as "OVER_QUOTA". REQUIRES: `status` is not OK.
absl::Status WithReason(absl::Status status, const std::string& reason);

// The reason that a status carries; empty where it carries none.
std::string ReasonOf(const absl::Status& status);

}  // namespace prefscore
