// SPDX-License-Identifier: Apache-2.0
// A model under the name by which requests know it, with the tokenizer of its folder.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/models/causal_lm.h"
#include "server/tokenizer/tokenizer.h"

namespace prefscore {

struct HostedModel {
  std::string name;
  std::shared_ptr<const CausalLm> lm;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: the folder has none, only ids are accepted
};

// A model that was to be hosted and could not be loaded.
struct MissingModel {
  std::string name;
  absl::Status reason;  // not OK
};

// What a model is where a request names none.
enum class ModelRole { kNone, kPolicy, kReference, kPolicyAndReference };

// The models of a server, fixed at start. Those that are missing keep their names: who asks for one is told why.
// Thread-safe.
class ModelRegistry {
 public:
  // INVALID_ARGUMENT: no model that was loaded, a duplicate name. NOT_FOUND: an unknown default.
  static absl::StatusOr<ModelRegistry> Create(std::vector<HostedModel> models, std::string default_policy,
                                              std::string default_reference, std::vector<MissingModel> missing = {});

  const std::vector<HostedModel>& models() const { return models_; }
  const std::vector<MissingModel>& missing() const { return missing_; }
  const std::string& default_policy() const { return default_policy_; }
  const std::string& default_reference() const { return default_reference_; }

  ModelRole RoleOf(const std::string& name) const;

  // NOT_FOUND listing the known names; FAILED_PRECONDITION, with a reason (error_reason.h), where it is missing.
  absl::StatusOr<const HostedModel*> Find(const std::string& name) const;

 private:
  std::vector<HostedModel> models_;
  std::vector<MissingModel> missing_;
  std::string default_policy_;
  std::string default_reference_;
};

}  // namespace prefscore
