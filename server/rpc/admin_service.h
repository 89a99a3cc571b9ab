// SPDX-License-Identifier: Apache-2.0
// prefscore.v1.AdminService: what an operator asks of a running server.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "prefscore/v1/admin.grpc.pb.h"
#include "server/access/token_store.h"
#include "server/logging/logger.h"
#include "server/rpc/service_context.h"
#include "server/tls/certificate_files.h"

namespace prefscore {

// What the service reads and changes. All of it outlives the service.
struct AdminContext {
  TokenStore* tokens;  // null: the server has no token file
  Logger* logger;
  CertificateFiles* certificate_files = nullptr;  // null: the listeners serve plain text
};

// All methods take raw bytes (parse_request.h says why).
using RawAdminService = v1::AdminService::WithRawCallbackMethod_GetStatus<
    v1::AdminService::WithRawCallbackMethod_SetLogLevel<
        v1::AdminService::WithRawCallbackMethod_ReloadTokens<v1::AdminService::Service>>>;

class AdminService final : public RawAdminService {
 public:
  // Calls need the role admin, whatever `context` asks for.
  AdminService(const ServiceContext& context, const AdminContext& admin);

 private:
  using Bytes = grpc::ByteBuffer;

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* rpc, const Bytes* request, Bytes* response) override;
  grpc::ServerUnaryReactor* SetLogLevel(grpc::CallbackServerContext* rpc, const Bytes* request,
                                        Bytes* response) override;
  grpc::ServerUnaryReactor* ReloadTokens(grpc::CallbackServerContext* rpc, const Bytes* request,
                                         Bytes* response) override;

  OpenCalls open_calls_;  // no drain waits for them
  const ServiceContext context_;
  const AdminContext admin_;
  const absl::Time start_ = absl::Now();
};

}  // namespace prefscore
