// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/admin_server.h"

#include <cstdint>

#include "absl/time/clock.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// Its requests are far below 1 KiB, and are read before it is known who sends them.
constexpr std::int64_t kMaxMessageBytes = 64 << 10;
constexpr std::int64_t kMaxHeldBytes = 16 << 20;  // of connections, beside messages

Limits TransportLimits(Limits limits) {
  limits.max_message_bytes = kMaxMessageBytes;
  limits.max_queued_bytes = kMaxHeldBytes;
  return limits;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const ListenerOptions& listener,
                                                                const ServiceContext& context,
                                                                const AdminContext& admin) {
  std::unique_ptr<AdminServer> server(new AdminServer(context, admin));
  ASSIGN_OR_RETURN(server->listener_, Listen(listener, TransportLimits(context.limits), *context.logger,
                                             {&server->service_}));
  return server;
}

AdminServer::~AdminServer() {
  if (listener_.server != nullptr) listener_.Stop(absl::ZeroDuration());
}

}  // namespace prefscore
