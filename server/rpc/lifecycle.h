// SPDX-License-Identifier: Apache-2.0
// A server from bind to drain: services, health, reflection, limits of the transport.
#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/rpc/acceptor.h"
#include "server/rpc/credentials.h"
#include "server/rpc/diagnostics_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/scoring_service.h"
#include "server/rpc/service_context.h"

namespace prefscore {

struct ListenerOptions {
  std::string address;                                // HOST:PORT; port 0 takes a free one
  std::shared_ptr<CertificateFiles> files = nullptr;  // null: plain text
  bool has_reflection = false;                        // whether clients may ask what services there are
};

// Serves from Start until it is drained or destroyed. Health is that of the device: where it fails again and again, all
// but ModelService turn NOT_SERVING, until a batch succeeds. Calls are let in meanwhile, since only they can tell.
class Server {
 public:
  // UNAVAILABLE where the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ListenerOptions& listener, const ServiceContext& context);
  ~Server();

  int port() const { return acceptor_->port(); }

  // Health NOT_SERVING; new work is refused with UNAVAILABLE; what was admitted is finished and answered; then the
  // server stops. What is not done after `grace` is cancelled. Returns whether everything was done.
  bool Drain(absl::Duration grace);

 private:
  Server(const ListenerOptions& listener, const ServiceContext& context);
  // In health and metrics.
  void SetServing(const std::string& service, bool is_serving);

  const ServiceContext context_;
  const std::shared_ptr<grpc::ServerCredentials> credentials_;
  ScoringService scoring_service_;
  DiagnosticsService diagnostics_service_;
  ModelService model_service_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
};

// From construction on, the first SIGTERM and the first SIGINT only wake Wait; a second one ends the process, as every
// one does before. One per process.
class TerminationSignal {
 public:
  TerminationSignal();
  void Wait();
};

}  // namespace prefscore
