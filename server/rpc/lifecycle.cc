// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/lifecycle.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/time/clock.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

int signal_pipe[2];

void OnSignal(int) {
  const int saved_errno = errno;
  const char byte = 0;
  [[maybe_unused]] const ssize_t num_written = write(signal_pipe[1], &byte, 1);
  errno = saved_errno;
}

}  // namespace

Server::Server(const ServiceContext& context)
    : context_(context), scoring_service_(context_), diagnostics_service_(context_), model_service_(context_) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ListenerOptions& listener, const ServiceContext& context) {
  std::unique_ptr<Server> server(new Server(context));
  ASSIGN_OR_RETURN(server->listener_, Listen(listener, context.limits,
                                             {&server->scoring_service_, &server->diagnostics_service_,
                                              &server->model_service_}));
  server->SetServing(v1::ModelService::service_full_name(), true);
  context.scorer->device_health().Watch([server = server.get()](bool is_healthy) {
    server->listener_.server->GetHealthCheckService()->SetServingStatus("", is_healthy);
    for (const char* service : {v1::ScoringService::service_full_name(), v1::DiagnosticsService::service_full_name()}) {
      server->SetServing(service, is_healthy);
    }
  });
  return server;
}

void Server::SetServing(const std::string& service, bool is_serving) {
  listener_.server->GetHealthCheckService()->SetServingStatus(service, is_serving);
  context_.metrics->SetServing(service, is_serving);
}

Server::~Server() {
  if (listener_.server != nullptr) Drain(absl::ZeroDuration());
}

bool Server::Drain(absl::Duration grace) {
  const absl::Time deadline = absl::Now() + grace;
  context_.scorer->device_health().Watch(nullptr);
  listener_.server->GetHealthCheckService()->SetServingStatus(false);  // of all services
  for (const char* service : kServiceNames) context_.metrics->SetServing(service, false);
  scoring_service_.DrainStreams();
  diagnostics_service_.DrainStreams();
  const bool is_done = context_.scorer->Drain(grace);
  listener_.Stop(deadline);
  return is_done;
}

TerminationSignal::TerminationSignal() {
  if (pipe(signal_pipe) != 0) return;  // out of file descriptors: signals end the process, as they do by default
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

void TerminationSignal::Wait() {
  char byte = 0;
  while (read(signal_pipe[0], &byte, 1) < 0 && errno == EINTR) {
  }
}

}  // namespace prefscore
