// SPDX-License-Identifier: Apache-2.0
// Who may call.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "server/config/listen_options.h"

namespace CLI {
class App;
}

namespace prefscore {

struct AccessOptions {
  std::string token_file;  // as server/access/token_file.h says, read when the server starts; empty: all may call
};

void AddOptions(CLI::App& app, AccessOptions& options);
// Whether no listener lets strangers do what only operators should.
absl::Status CheckOptions(const AccessOptions& options, const ListenOptions& listen);

}  // namespace prefscore
