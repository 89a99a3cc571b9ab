// SPDX-License-Identifier: Apache-2.0
#include "server/config/access_options.h"

#include <CLI/App.hpp>

namespace prefscore {

void AddOptions(CLI::App& app, AccessOptions& options) {
  app.add_option("--token-file", options.token_file,
                 "TOML file of hashed tokens with roles and quotas, without which no call is let in; read again when it "
                 "changes. \"\": everybody who reaches the server may call it")
      ->type_name("FILE")
      ->capture_default_str();
}

}  // namespace prefscore
