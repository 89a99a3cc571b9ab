// SPDX-License-Identifier: Apache-2.0
#include "client/cli/health_command.h"

#include <iostream>

namespace prefscore::cli {

int RunHealth(const HealthOptions& options) {
  const auto connected = ConnectTo(options.server, [](const std::string&) {});
  if (!connected.ok()) return Fail(connected.status());
  const absl::Status status = (*connected)->CheckHealth(options.service);
  if (!status.ok()) return Fail(status);
  std::cout << "SERVING\n";
  return kAllDone;
}

}  // namespace prefscore::cli
