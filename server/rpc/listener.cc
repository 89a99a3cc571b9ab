// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/listener.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>

#include <utility>
#include <vector>

#include "server/rpc/call_deadline.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// Clients may ping an idle connection this often; gRPC's own limit of 5 minutes ends connections of clients that keep a
// long call alive through a NAT.
constexpr int kMinPingIntervalMs = 10'000;
// A client that is silent for the first is asked for a sign of life; without one for the second it is gone, and with it
// the work that it waits for. gRPC's own defaults keep what a vanished machine asked for, for two hours.
constexpr int kKeepaliveTimeMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// Beyond what clients of one connection need; a bound on what one connection can make the server hold.
constexpr int kMaxConcurrentCallsPerConnection = 1024;
// Of the headers of one call, the token and traces included. More is refused before anything else looks at the call.
constexpr int kMaxMetadataBytes = 16 << 10;
// Messages that arrive at the same time, beside what waits in the queue. Beyond, gRPC reads slower, then ends calls.
constexpr int kArrivingMessages = 16;

int Milliseconds(absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); }

// Takes reflection, which is linked and thus in every server, out of one.
class WithoutReflection : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

}  // namespace

void Listener::Stop(absl::Duration farewell) {
  acceptor->Stop();
  server->Shutdown(GrpcTimeAfter(farewell));
  server->Wait();
  server.reset();
}

absl::StatusOr<Listener> Listen(const ListenerOptions& options, const Limits& limits, Logger& logger,
                                std::initializer_list<grpc::Service*> services) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  Listener listener;
  listener.credentials = ListenerCredentials(options.files);
  ASSIGN_OR_RETURN(listener.acceptor, Acceptor::Listen(options.address, logger));
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits.max_message_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentCallsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(options.connection.handshake));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(options.connection.idle));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(options.connection.age));
  grpc::ResourceQuota quota("connections");
  quota.Resize(limits.max_queued_bytes + kArrivingMessages * limits.max_message_bytes);
  builder.SetResourceQuota(quota);
  if (!options.has_reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  auto connections = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, listener.credentials);
  for (grpc::Service* service : services) builder.RegisterService(service);
  listener.server = builder.BuildAndStart();
  if (listener.server == nullptr) return absl::InternalError("gRPC does not start; its own lines in the log say why");
  listener.acceptor->Start(std::move(connections));
  return listener;
}

}  // namespace prefscore
