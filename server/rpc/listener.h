// SPDX-License-Identifier: Apache-2.0
// A gRPC server on one port, with the limits of the transport that hold for all of ours.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/impl/service_type.h>

#include <initializer_list>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/config/limits.h"
#include "server/rpc/acceptor.h"
#include "server/rpc/credentials.h"

namespace prefscore {

// How long a connection may do what. deploy/SECURITY.md tells these values.
struct ConnectionTimes {
  // From its first byte to the client's greeting: TLS, then the settings of HTTP/2.
  absl::Duration handshake = absl::Seconds(20);
  // Without a call. A client makes a new one without noticing.
  absl::Duration idle = absl::Minutes(10);
  // After this it takes no new calls, while those under way go on. Clients look the address up again, and meet servers
  // that have come since; a client certificate that has ended holds no longer than that. gRPC varies it by 10 %.
  absl::Duration age = absl::Minutes(30);
};

struct ListenerOptions {
  std::string address;                                // HOST:PORT; port 0 takes a free one
  std::shared_ptr<CertificateFiles> files = nullptr;  // null: plain text
  bool has_reflection = false;                        // whether clients may ask what services there are
  ConnectionTimes connection = {};
};

// A server with its port and what must live as long.
struct Listener {
  int port() const { return acceptor->port(); }
  // No further connections or calls; what is under way goes on for `farewell`, and is then cancelled.
  void Stop(absl::Duration farewell);

  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<grpc::Server> server;  // null once it is stopped
};

// Starts to serve `services` and health. UNAVAILABLE where the address cannot be bound.
absl::StatusOr<Listener> Listen(const ListenerOptions& options, const Limits& limits, Logger& logger,
                                std::initializer_list<grpc::Service*> services);

}  // namespace prefscore
