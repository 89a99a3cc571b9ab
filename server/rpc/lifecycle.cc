// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/lifecycle.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// Clients may ping an idle connection this often; gRPC's own limit of 5 minutes ends connections of clients that keep a
// long call alive through a NAT.
constexpr int kMinPingIntervalMs = 10'000;
// A client that is silent for the first is asked for a sign of life; without one for the second it is gone, and with it the
// work that it waits for. gRPC's own defaults keep what a vanished machine asked for, for two hours.
constexpr int kKeepaliveTimeMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// Beyond what clients of one connection need; a bound on what one connection can make the server hold.
constexpr int kMaxConcurrentCallsPerConnection = 1024;
// Of the headers of one call, the token and traces included. More is refused before anything else looks at the call.
constexpr int kMaxMetadataBytes = 16 << 10;
// From the first byte of a connection to its first call: TLS, then the greeting of HTTP/2.
constexpr int kHandshakeTimeoutMs = 20'000;
// Connections without a call. A client makes a new one without noticing.
constexpr int kMaxConnectionIdleMs = 10 * 60'000;
// After so long a connection takes no new calls, while those under way go on. Clients look the address up again, and
// meet servers that have come since; a client certificate that has ended holds no longer than that.
constexpr int kMaxConnectionAgeMs = 30 * 60'000;
// Messages that arrive at the same time, beside what waits in the queue. Beyond, gRPC reads slower, then ends calls.
constexpr int kArrivingMessages = 16;

// Takes reflection, which is linked and thus in every server, out of one.
class WithoutReflection : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

// Between the announcement that a connection ends and its end.
constexpr absl::Duration kFarewell = absl::Milliseconds(500);

ServiceContext WithOpenCalls(ServiceContext context, OpenCalls& open_calls) {
  context.open_calls = &open_calls;
  return context;
}

// The service by whose name the health of a model is asked.
std::string ModelHealthName(const std::string& model) { return absl::StrCat("model/", model); }

}  // namespace

Server::Server(const ListenerOptions& listener, const ServiceContext& context)
    : context_(WithOpenCalls(context, open_calls_)),
      credentials_(ListenerCredentials(listener.files)),
      scoring_service_(context_),
      diagnostics_service_(context_),
      model_service_(context_) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ListenerOptions& listener, const ServiceContext& context) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  std::unique_ptr<Server> server(new Server(listener, context));
  ASSIGN_OR_RETURN(server->acceptor_, Acceptor::Listen(listener.address));
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(static_cast<int>(context.limits.max_message_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentCallsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxConnectionIdleMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kMaxConnectionAgeMs);
  grpc::ResourceQuota quota("connections");
  quota.Resize(context.limits.max_queued_bytes + kArrivingMessages * context.limits.max_message_bytes);
  builder.SetResourceQuota(quota);
  if (!listener.has_reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  auto connections = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, server->credentials_);
  builder.RegisterService(&server->scoring_service_);
  builder.RegisterService(&server->diagnostics_service_);
  builder.RegisterService(&server->model_service_);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) return absl::InternalError("gRPC does not start; its own lines in the log say why");
  server->acceptor_->Start(std::move(connections));
  server->SetServing(v1::ModelService::service_full_name(), true);
  context.scorer->device_health().Watch([server = server.get(), registry = context.registry](bool is_healthy) {
    grpc::HealthCheckServiceInterface* const health = server->server_->GetHealthCheckService();
    const bool is_serving = is_healthy && registry->missing().empty();
    health->SetServingStatus("", is_serving);
    for (const char* service : {v1::ScoringService::service_full_name(), v1::DiagnosticsService::service_full_name()}) {
      server->SetServing(service, is_serving);
    }
    for (const HostedModel& model : registry->models()) {
      health->SetServingStatus(ModelHealthName(model.name), is_healthy);
    }
    for (const MissingModel& model : registry->missing()) health->SetServingStatus(ModelHealthName(model.name), false);
  });
  return server;
}

void Server::SetServing(const std::string& service, bool is_serving) {
  server_->GetHealthCheckService()->SetServingStatus(service, is_serving);
  context_.metrics->SetServing(service, is_serving);
}

Server::~Server() {
  if (server_ != nullptr) Drain({absl::ZeroDuration(), absl::ZeroDuration()});
}

DrainReport Server::Drain(DrainTimes times) {
  context_.scorer->device_health().Watch(nullptr);
  server_->GetHealthCheckService()->SetServingStatus(false);  // of all services
  for (const char* service : kServiceNames) context_.metrics->SetServing(service, false);
  hurry_.WaitForNotificationWithTimeout(times.delay);

  const absl::Time deadline = absl::Now() + times.grace;
  scoring_service_.DrainStreams();
  diagnostics_service_.DrainStreams();
  if (!context_.scorer->Drain(times.grace)) num_abandoned_ += context_.scorer->Abandon();
  open_calls_.Close();  // whoever still comes is refused, and not waited for
  open_calls_.AwaitNone(deadline);
  const DrainReport report = {.num_not_computed = num_abandoned_,
                              .num_not_answered = open_calls_.AwaitLast(kLastWords)};
  acceptor_->Stop();
  // Who watches the server's health never ends a call. Refusals get their time to leave.
  server_->Shutdown(absl::ToChronoTime(absl::Now() + kFarewell));
  server_->Wait();
  server_.reset();
  return report;
}

void Server::HurryDrain() {
  if (is_hurried_.exchange(true)) return;
  hurry_.Notify();
  num_abandoned_ += context_.scorer->Abandon();
  open_calls_.Hurry();
}

}  // namespace prefscore
