// SPDX-License-Identifier: Apache-2.0
// Where the server can be reached.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace prefscore {

struct ListenOptions {
  std::string grpc = "127.0.0.1:50051";    // HOST:PORT
  std::string metrics = "127.0.0.1:9464";  // HOST:PORT; empty: no metrics are served
  std::string admin = "";                   // HOST:PORT; empty: there is no admin service
};

void AddOptions(CLI::App& app, ListenOptions& options);
absl::Status CheckOptions(const ListenOptions& options);

}  // namespace prefscore
