// SPDX-License-Identifier: Apache-2.0
// prefscore admin: asks a server's admin listener.
#pragma once

#include <string>

#include "client/cli/command.h"

namespace prefscore::cli {

struct AdminOptions {
  ServerOptions server;
  std::string level;  // of log-level: debug, info, warning or error
  bool json = false;  // of status
};

int RunAdminStatus(const AdminOptions& options);
int RunAdminLogLevel(const AdminOptions& options);
int RunAdminReloadTokens(const AdminOptions& options);

}  // namespace prefscore::cli
