// SPDX-License-Identifier: Apache-2.0
// prefscore health: whether the server serves.
#pragma once

#include <string>

#include "client/cli/command.h"

namespace prefscore::cli {

struct HealthOptions {
  ServerOptions server;
  std::string service;  // full name of a gRPC service; empty: the server as a whole
};

// Returns kAllDone where it serves, else kRunFailed.
int RunHealth(const HealthOptions& options);

}  // namespace prefscore::cli
