// SPDX-License-Identifier: Apache-2.0
// Errors that know when the same call has a chance, so that the edge can tell its caller.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace prefscore {

// The same error, carrying `delay`. REQUIRES: `status` is not OK.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);

// The delay that a status carries.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

}  // namespace prefscore
