// SPDX-License-Identifier: Apache-2.0
// Serves metrics as GET /metrics over HTTP or HTTPS, one request a connection.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "prometheus/collectable.h"
#include "server/tls/certificate_files.h"

namespace httplib {
class Server;
}

namespace prefscore {

struct ExposerOptions {
  std::string address = "";  // HOST:PORT; port 0 takes a free one
  // Null: plain HTTP. As for gRPC, replaced files hold for new connections, and a client authority for all clients.
  std::shared_ptr<CertificateFiles> files = nullptr;
  // Whether a scrape with these headers "Authorization" may see the metrics: OK, or UNAUTHENTICATED (HTTP 401) or
  // PERMISSION_DENIED (403) with what the caller is told. Null: all may.
  std::function<absl::Status(std::span<const std::string_view>)> may_scrape = nullptr;
  // A connection is closed after so long, whatever its peer does.
  absl::Duration connection_time = absl::Seconds(10);
};

// Serves as long as it lives, on threads of its own; the destructor waits for the scrapes under way.
class MetricsExposer {
 public:
  using Sources = std::vector<std::shared_ptr<prometheus::Collectable>>;

  // UNAVAILABLE where the address cannot be bound. No two sources have a metric of the same name.
  static absl::StatusOr<std::unique_ptr<MetricsExposer>> Start(ExposerOptions options, Sources sources);
  ~MetricsExposer();

  int port() const { return port_; }

 private:
  MetricsExposer(std::unique_ptr<httplib::Server> server, int port);

  const std::unique_ptr<httplib::Server> server_;
  const int port_;
  std::atomic<bool> has_stopped_ = false;
  std::thread acceptor_;
};

}  // namespace prefscore
