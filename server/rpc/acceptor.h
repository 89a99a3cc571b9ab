// SPDX-License-Identifier: Apache-2.0
// Takes connections and hands them to gRPC.
//
// gRPC can do so itself, but ends its listener for good as soon as it finds no file descriptor for a connection: whoever
// opens enough of them would stop the server for all. Here such connections are closed, which the log tells now and then,
// and the next ones are taken.
#pragma once

#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/logging/line_limit.h"
#include "server/logging/logger.h"

namespace prefscore {

// Owns the listening sockets, and from Start on a thread.
class Acceptor {
 public:
  // File descriptors that are kept for what else the server does: cache, certificates, logs.
  static constexpr int kSpareDescriptors = 64;

  // Listens on all addresses of HOST, on the same port; port 0 takes a free one. UNAVAILABLE where one cannot be bound.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const std::string& address, Logger& logger);
  ~Acceptor();

  int port() const { return port_; }

  // Connections go to `sink` from now on; those that came before have waited.
  void Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> sink);
  // No further connections; the port is free when it returns. May be called again.
  void Stop();

 private:
  Acceptor(int stop_descriptor, Logger& logger) : logger_(logger), stop_descriptor_(stop_descriptor) {}

  absl::Status Bind(const std::string& host, int port);
  void Run();
  void AcceptFrom(int listener);
  void Warn(const std::string& what);

  Logger& logger_;
  LineLimit warnings_{absl::Seconds(10)};  // for the thread
  const int stop_descriptor_;  // an eventfd, which ends Run
  std::vector<int> listeners_;
  int port_ = 0;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> sink_;
  std::thread thread_;
};

}  // namespace prefscore
