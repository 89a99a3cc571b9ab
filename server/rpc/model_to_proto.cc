// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/model_to_proto.h"

#include <string>

namespace prefscore {
namespace {

v1::ModelRole RoleToProto(ModelRole role) {
  switch (role) {
    case ModelRole::kNone: break;
    case ModelRole::kPolicy: return v1::MODEL_ROLE_POLICY;
    case ModelRole::kReference: return v1::MODEL_ROLE_REFERENCE;
    case ModelRole::kPolicyAndReference: return v1::MODEL_ROLE_POLICY_AND_REFERENCE;
  }
  return v1::MODEL_ROLE_UNSPECIFIED;
}

}  // namespace

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

}  // namespace prefscore
