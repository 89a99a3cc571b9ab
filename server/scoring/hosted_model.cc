// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/hosted_model.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/util/status_macros.h"

namespace prefscore {

absl::StatusOr<ModelRegistry> ModelRegistry::Create(std::vector<HostedModel> models, std::string default_policy,
                                                    std::string default_reference) {
  if (models.empty()) return absl::InvalidArgumentError("no model is configured; at least 1 is needed");
  std::set<std::string> names;
  for (const HostedModel& model : models) {
    if (!names.insert(model.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("the model name '", model.name, "' is used twice"));
    }
  }
  ModelRegistry registry;
  registry.models_ = std::move(models);
  for (const std::string& name : {default_policy, default_reference}) {
    RETURN_IF_ERROR(registry.Find(name).status());
  }
  registry.default_policy_ = std::move(default_policy);
  registry.default_reference_ = std::move(default_reference);
  return registry;
}

ModelRole ModelRegistry::RoleOf(const HostedModel& model) const {
  const bool is_policy = model.name == default_policy_;
  const bool is_reference = model.name == default_reference_;
  if (is_policy && is_reference) return ModelRole::kPolicyAndReference;
  if (is_policy) return ModelRole::kPolicy;
  return is_reference ? ModelRole::kReference : ModelRole::kNone;
}

absl::StatusOr<const HostedModel*> ModelRegistry::Find(const std::string& name) const {
  for (const HostedModel& model : models_) {
    if (model.name == name) return &model;
  }
  return absl::NotFoundError(absl::StrCat(
      "no model is named '", name, "'; hosted: ",
      absl::StrJoin(models_, ", ", [](std::string* out, const HostedModel& model) { out->append(model.name); })));
}

}  // namespace prefscore
