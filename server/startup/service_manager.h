// SPDX-License-Identifier: Apache-2.0
// What a service manager such as systemd is told: sd_notify(3) without its library.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace prefscore {

// Sends lines of NAME=VALUE to the socket that NOTIFY_SOCKET names: a path, or @ and a name of Linux's own. OK where
// the variable is not set or empty: nobody wants to know.
absl::Status TellServiceManager(std::string_view lines);

}  // namespace prefscore
