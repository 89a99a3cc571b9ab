// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/hosted_model.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/util/error_reason.h"
#include "server/util/status_macros.h"

namespace prefscore {

absl::StatusOr<ModelRegistry> ModelRegistry::Create(std::vector<HostedModel> models, std::string default_policy,
                                                    std::string default_reference,
                                                    std::vector<MissingModel> missing) {
  if (models.empty()) return absl::InvalidArgumentError("no model is configured; at least 1 is needed");
  std::set<std::string> names;
  const auto add = [&names](const std::string& name) {
    if (names.insert(name).second) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("the model name '", name, "' is used twice"));
  };
  for (const HostedModel& model : models) RETURN_IF_ERROR(add(model.name));
  for (const MissingModel& model : missing) RETURN_IF_ERROR(add(model.name));
  ModelRegistry registry;
  registry.models_ = std::move(models);
  registry.missing_ = std::move(missing);
  for (const std::string& name : {default_policy, default_reference}) {
    if (!names.contains(name)) return registry.Find(name).status();
  }
  registry.default_policy_ = std::move(default_policy);
  registry.default_reference_ = std::move(default_reference);
  return registry;
}

ModelRole ModelRegistry::RoleOf(const std::string& name) const {
  const bool is_policy = name == default_policy_;
  const bool is_reference = name == default_reference_;
  if (is_policy && is_reference) return ModelRole::kPolicyAndReference;
  if (is_policy) return ModelRole::kPolicy;
  return is_reference ? ModelRole::kReference : ModelRole::kNone;
}

absl::StatusOr<const HostedModel*> ModelRegistry::Find(const std::string& name) const {
  for (const HostedModel& model : models_) {
    if (model.name == name) return &model;
  }
  for (const MissingModel& model : missing_) {
    if (model.name != name) continue;
    return WithReason(absl::FailedPreconditionError(
                          absl::StrCat("model '", name, "' could not be loaded when the server started: ",
                                       std::string(model.reason.message()))),
                      kModelNotLoadedReason);
  }
  return absl::NotFoundError(absl::StrCat(
      "no model is named '", name, "'; hosted: ",
      absl::StrJoin(models_, ", ", [](std::string* out, const HostedModel& model) { out->append(model.name); })));
}

}  // namespace prefscore
