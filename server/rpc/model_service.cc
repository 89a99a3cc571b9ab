// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/model_service.h"

#include <string>

#include "server/config/config.h"
#include "server/rpc/unary_call.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

using ListModelsCall = UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>;
using GetModelCall = UnaryCall<v1::GetModelRequest, v1::GetModelResponse>;

v1::ModelRole RoleToProto(ModelRole role) {
  switch (role) {
    case ModelRole::kNone: break;
    case ModelRole::kPolicy: return v1::MODEL_ROLE_POLICY;
    case ModelRole::kReference: return v1::MODEL_ROLE_REFERENCE;
    case ModelRole::kPolicyAndReference: return v1::MODEL_ROLE_POLICY_AND_REFERENCE;
  }
  return v1::MODEL_ROLE_UNSPECIFIED;
}

void ModelToProto(const HostedModel& model, const ModelRegistry& registry, v1::Model& proto) {
  const ModelInfo& info = model.lm->info();
  proto.set_name(model.name);
  proto.set_role(RoleToProto(registry.RoleOf(model.name)));
  proto.set_state(v1::MODEL_STATE_LOADED);
  proto.set_architecture(info.architecture);
  proto.set_digest(info.digest);
  if (model.tokenizer != nullptr) {
    proto.set_tokenizer_fingerprint(model.tokenizer->fingerprint());
    proto.set_has_chat_template(model.tokenizer->has_chat_template());
  }
  proto.set_dtype(info.dtype);
  proto.set_numerics_mode(info.numerics_mode);
  proto.set_num_parameters(info.num_parameters);
  proto.set_vocab_size(info.vocab_size);
  proto.set_max_context_tokens(info.max_context_tokens);
  proto.set_same_bits_verified(info.same_bits_verified);
}

void MissingToProto(const MissingModel& model, const ModelRegistry& registry, v1::Model& proto) {
  proto.set_name(model.name);
  proto.set_role(RoleToProto(registry.RoleOf(model.name)));
  proto.set_state(v1::MODEL_STATE_FAILED);
  proto.set_load_error(std::string(model.reason.message()));
}

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
