// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/admin_server.h"

#include "absl/time/clock.h"
#include "server/util/status_macros.h"

namespace prefscore {

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const ListenerOptions& listener,
                                                                const ServiceContext& context,
                                                                const AdminContext& admin) {
  std::unique_ptr<AdminServer> server(new AdminServer(context, admin));
  ASSIGN_OR_RETURN(server->listener_, Listen(listener, context.limits, *context.logger, {&server->service_}));
  return server;
}

AdminServer::~AdminServer() {
  if (listener_.server != nullptr) listener_.Stop(absl::ZeroDuration());
}

}  // namespace prefscore
