// SPDX-License-Identifier: Apache-2.0
// A server from bind to drain: its services and their health.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/rpc/diagnostics_service.h"
#include "server/rpc/listener.h"
#include "server/rpc/model_service.h"
#include "server/rpc/scoring_service.h"
#include "server/rpc/service_context.h"

namespace prefscore {

// Serves from Start until it is drained or destroyed. Health is that of the device: where it fails again and again, all
// but ModelService turn NOT_SERVING, until a batch succeeds. Calls are let in meanwhile, since only they can tell.
class Server {
 public:
  // UNAVAILABLE where the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ListenerOptions& listener, const ServiceContext& context);
  ~Server();

  int port() const { return listener_.port(); }

  // Health NOT_SERVING; new work is refused with UNAVAILABLE; what was admitted is finished and answered; then the
  // server stops. What is not done after `grace` is cancelled. Returns whether everything was done.
  bool Drain(absl::Duration grace);

 private:
  explicit Server(const ServiceContext& context);
  // In health and metrics.
  void SetServing(const std::string& service, bool is_serving);

  const ServiceContext context_;
  ScoringService scoring_service_;
  DiagnosticsService diagnostics_service_;
  ModelService model_service_;
  Listener listener_;
};

// From construction on, the first SIGTERM and the first SIGINT only wake Wait; a second one ends the process, as every
// one does before. One per process.
class TerminationSignal {
 public:
  TerminationSignal();
  void Wait();
};

}  // namespace prefscore
