// SPDX-License-Identifier: Apache-2.0
// The listener of the admin service, apart from that of scoring.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/listener.h"

namespace prefscore {

// Serves AdminService and health from Start until it is destroyed, which cancels the calls under way.
class AdminServer {
 public:
  // UNAVAILABLE where the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const ListenerOptions& listener,
                                                            const ServiceContext& context, const AdminContext& admin);
  ~AdminServer();

  int port() const { return listener_.port(); }

 private:
  AdminServer(const ServiceContext& context, const AdminContext& admin) : service_(context, admin) {}

  AdminService service_;
  Listener listener_;
};

}  // namespace prefscore
