// SPDX-License-Identifier: Apache-2.0
#include "server/config/listen_options.h"

#include <CLI/App.hpp>

#include "server/config/option_checks.h"
#include "server/util/status_macros.h"

namespace prefscore {

void AddOptions(CLI::App& app, ListenOptions& options) {
  app.add_option("--listen", options.grpc, "Where gRPC is served; port 0 takes a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--metrics-listen", options.metrics,
                 "Where /metrics is served over HTTP, or HTTPS with a certificate; port 0 takes a free one, \"\" serves none")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--admin-listen", options.admin,
                 "Where the admin service is served over gRPC; port 0 takes a free one, \"\" serves none")
      ->type_name("HOST:PORT")
      ->capture_default_str();
}

absl::Status CheckOptions(const ListenOptions& options) {
  RETURN_IF_ERROR(CheckAddress("--listen", options.grpc));
  if (!options.metrics.empty()) RETURN_IF_ERROR(CheckAddress("--metrics-listen", options.metrics));
  return options.admin.empty() ? absl::OkStatus() : CheckAddress("--admin-listen", options.admin);
}

}  // namespace prefscore
