// SPDX-License-Identifier: Apache-2.0
// prefscore models: what the server hosts, and its limits.
#pragma once

#include "client/cli/command.h"

namespace prefscore::cli {

struct ModelsOptions {
  ServerOptions server;
  bool json = false;  // the response in proto3 JSON instead of a table
};

// Returns an ExitCode.
int RunModels(const ModelsOptions& options);

}  // namespace prefscore::cli
