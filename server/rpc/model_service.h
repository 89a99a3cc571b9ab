// SPDX-License-Identifier: Apache-2.0
// prefscore.v1.ModelService: what the server hosts, and its limits.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "prefscore/v1/models.grpc.pb.h"
#include "server/rpc/service_context.h"

namespace prefscore {

// Both methods take raw bytes (parse_request.h says why).
using RawModelService = v1::ModelService::WithRawCallbackMethod_ListModels<
    v1::ModelService::WithRawCallbackMethod_GetModel<v1::ModelService::Service>>;

class ModelService final : public RawModelService {
 public:
  explicit ModelService(const ServiceContext& context) : context_(context) {}

 private:
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* rpc, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* rpc, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;

  const ServiceContext context_;
};

}  // namespace prefscore
