// SPDX-License-Identifier: Apache-2.0
#include "server/config/access_options.h"

#include <CLI/App.hpp>

#include "absl/strings/str_cat.h"
#include "server/config/option_checks.h"
#include "server/util/host_port.h"

namespace prefscore {

void AddOptions(CLI::App& app, AccessOptions& options) {
  app.add_option("--token-file", options.token_file,
                 "TOML file of hashed tokens with roles and quotas, without which no call is let in; read again when it "
                 "changes. \"\": everybody who reaches the server may call it")
      ->type_name("FILE")
      ->capture_default_str();
}

absl::Status CheckOptions(const AccessOptions& options, const ListenOptions& listen) {
  if (listen.admin.empty() || !options.token_file.empty() || IsLoopback(listen.admin)) return absl::OkStatus();
  return FlagError("--admin-listen", absl::StrCat("'", listen.admin,
                                                  "' can be reached from other machines, and without --token-file "
                                                  "everybody there could administer the server. Give --token-file, or "
                                                  "listen on 127.0.0.1"));
}

}  // namespace prefscore
