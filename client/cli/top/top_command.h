// SPDX-License-Identifier: Apache-2.0
// prefscore top: a live view of a server, from its metrics.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace prefscore::cli {

struct TopOptions {
  std::string metrics_url = "127.0.0.1:9464";  // HOST:PORT until flags are parsed
  std::string token_file;  // empty: no token is sent
  std::string ca_file;     // empty: the system's certificates
  absl::Duration interval = absl::Seconds(1);
  bool once = false;  // one view of one interval, as plain text
};

// Returns an exit code of command.h.
int RunTop(const TopOptions& options);

}  // namespace prefscore::cli
