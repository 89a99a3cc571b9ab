// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/model_service.h"

#include <string>

#include "server/config/config.h"
#include "server/rpc/model_to_proto.h"
#include "server/rpc/unary_call.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

using ListModelsCall = UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>;
using GetModelCall = UnaryCall<v1::GetModelRequest, v1::GetModelResponse>;

void LimitsToProto(const Limits& limits, v1::Limits& proto) {
  proto.set_max_pairs_per_request(limits.max_pairs_per_request);
  proto.set_max_completions_per_prompt(limits.max_completions_per_prompt);
  proto.set_max_objectives(limits.max_objectives);
  proto.set_max_message_bytes(limits.max_message_bytes);
  proto.set_max_text_bytes(limits.max_text_bytes);
  proto.set_max_queued_tokens(limits.max_queued_tokens);
  proto.set_max_stream_in_flight(limits.max_stream_in_flight);
  proto.set_max_batch_tokens(limits.max_batch_tokens);
  proto.set_max_queued_bytes(limits.max_queued_bytes);
  proto.set_max_batch_bytes(limits.max_batch_bytes);
  proto.set_max_batch_ms(limits.max_batch_ms);
}

// What every response of the service tells beside models.
template <typename Response>
void AddServer(const ServiceContext& context, Response& response) {
  LimitsToProto(context.limits, *response.mutable_limits());
  response.set_contract_version(v1::CONTRACT_VERSION_CURRENT);
  response.set_server_version(kVersion);
}

}  // namespace

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* rpc, const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  return ListModelsCall::Start("ListModels", context_, rpc, request, response, [this](ListModelsCall& call) {
    for (const HostedModel& model : context_.registry->models()) {
      ModelToProto(model, *context_.registry, *call.response().add_models());
    }
    for (const MissingModel& model : context_.registry->missing()) {
      MissingToProto(model, *context_.registry, *call.response().add_models());
    }
    AddServer(context_, call.response());
    call.Finish(absl::OkStatus());
  });
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* rpc, const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) {
  return GetModelCall::Start("GetModel", context_, rpc, request, response, [this](GetModelCall& call) {
    const std::string invalid = call.invalid_text().Under("name");
    if (!invalid.empty()) return call.Finish(InvalidTextError(invalid));
    if (call.request().name().empty()) return call.Finish(FieldError("name", "is missing"));
    for (const MissingModel& model : context_.registry->missing()) {
      if (model.name != call.request().name()) continue;
      MissingToProto(model, *context_.registry, *call.response().mutable_model());
      AddServer(context_, call.response());
      return call.Finish(absl::OkStatus());
    }
    const auto model = context_.registry->Find(call.request().name());
    if (!model.ok()) return call.Finish(UnderField("name", model.status()));
    ModelToProto(**model, *context_.registry, *call.response().mutable_model());
    AddServer(context_, call.response());
    call.Finish(absl::OkStatus());
  });
}

}  // namespace prefscore
