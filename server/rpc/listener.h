// SPDX-License-Identifier: Apache-2.0
// A gRPC server on one port, with the limits of the transport that hold for all of ours.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <initializer_list>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/config/limits.h"
#include "server/rpc/credentials.h"

namespace prefscore {

struct ListenerOptions {
  std::string address;                                // HOST:PORT; port 0 takes a free one
  std::shared_ptr<CertificateFiles> files = nullptr;  // null: plain text
  bool has_reflection = false;                        // whether clients may ask what services there are
};

// A server with its port and what must live as long.
struct Listener {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

// Starts to serve `services` and health. UNAVAILABLE where the address cannot be bound.
absl::StatusOr<Listener> Listen(const ListenerOptions& options, const Limits& limits,
                                std::initializer_list<grpc::Service*> services);

}  // namespace prefscore
