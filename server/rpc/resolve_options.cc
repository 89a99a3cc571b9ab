// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/resolve_options.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/messages/objective_messages.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// `default_name` stands in for an empty name.
absl::StatusOr<const HostedModel*> FindModel(const ModelRegistry& registry, const std::string& name,
                                             const std::string& default_name, const std::string& field) {
  auto model = registry.Find(name.empty() ? default_name : name);
  if (!model.ok()) return UnderField(field, model.status());
  return *model;
}

absl::Status CheckDigest(const HostedModel& model, const std::string& expected, const std::string& field) {
  const std::string& digest = model.lm->info().digest;
  if (expected.empty() || expected == digest) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(field, ": is '", expected, "', but the digest of model '", model.name, "' is '", digest, "'"));
}

absl::StatusOr<TokenizationProfile> ResolveProfile(const std::string& profile, const std::string& field) {
  if (profile.empty() || profile == "trl") return TokenizationProfile::kTrl;
  if (profile == "ids") return TokenizationProfile::kIds;
  return FieldError(field, absl::StrCat("'", profile, "' is not one of: trl, ids"));
}

absl::StatusOr<TruncationPolicy> ResolveTruncation(v1::TruncationPolicy policy, const std::string& field) {
  switch (policy) {
    case v1::TRUNCATION_POLICY_UNSPECIFIED:
    case v1::TRUNCATION_POLICY_ERROR: return TruncationPolicy::kError;
    case v1::TRUNCATION_POLICY_KEEP_START: return TruncationPolicy::kKeepStart;
    case v1::TRUNCATION_POLICY_KEEP_PROMPT_END: return TruncationPolicy::kKeepPromptEnd;
    default: return FieldError(field, absl::StrCat(static_cast<int>(policy), " is not a known truncation policy"));
  }
}

absl::StatusOr<CacheMode> ResolveCacheMode(v1::CacheMode mode, const std::string& field) {
  switch (mode) {
    case v1::CACHE_MODE_UNSPECIFIED:
    case v1::CACHE_MODE_READ_WRITE: return CacheMode::kReadWrite;
    case v1::CACHE_MODE_BYPASS: return CacheMode::kBypass;
    case v1::CACHE_MODE_REFRESH: return CacheMode::kRefresh;
    case v1::CACHE_MODE_READ_ONLY: return CacheMode::kReadOnly;
    default: return FieldError(field, absl::StrCat(static_cast<int>(mode), " is not a known cache mode"));
  }
}

// 0 stands for the models' own limit.
absl::StatusOr<std::int64_t> ResolveMaxLength(std::int64_t max_length, const std::string& field,
                                              const std::vector<const HostedModel*>& models) {
  for (const HostedModel* model : models) {
    const std::int64_t max_context = model->lm->info().max_context_tokens;
    if (max_length > max_context) {
      return FieldError(field, absl::StrCat(max_length, " exceeds the ", max_context,
                                            " tokens that fit the context of model '", model->name, "'"));
    }
  }
  return max_length;
}

}  // namespace

absl::StatusOr<PairOptions> ResolveOptions(const v1::ScoringOptions& options, const ServiceContext& context,
                                           const std::string& field) {
  const ModelRegistry& registry = *context.registry;
  PairOptions resolved;
  ASSIGN_OR_RETURN(resolved.policy,
                   FindModel(registry, options.policy(), registry.default_policy(), field + ".policy"));
  RETURN_IF_ERROR(CheckDigest(*resolved.policy, options.expected_policy_digest(), field + ".expected_policy_digest"));
  ASSIGN_OR_RETURN(resolved.objectives,
                   ObjectivesFromProto(options.objectives(), field + ".objectives", context.limits.max_objectives));
  const bool needs_reference = std::any_of(resolved.objectives.begin(), resolved.objectives.end(),
                                           [](const Objective& objective) { return objective.needs_reference(); });
  const bool uses_reference = needs_reference || !options.reference().empty();
  if (uses_reference || !options.expected_reference_digest().empty()) {
    ASSIGN_OR_RETURN(resolved.reference,
                     FindModel(registry, options.reference(), registry.default_reference(), field + ".reference"));
    RETURN_IF_ERROR(
        CheckDigest(*resolved.reference, options.expected_reference_digest(), field + ".expected_reference_digest"));
    if (!uses_reference) resolved.reference = nullptr;
  }
  ASSIGN_OR_RETURN(resolved.profile, ResolveProfile(options.profile(), field + ".profile"));
  ASSIGN_OR_RETURN(resolved.length.policy,
                   ResolveTruncation(options.truncation_policy(), field + ".truncation_policy"));
  std::vector<const HostedModel*> models = {resolved.policy};
  if (resolved.reference != nullptr) models.push_back(resolved.reference);
  ASSIGN_OR_RETURN(resolved.length.max_length, ResolveMaxLength(options.max_length(), field + ".max_length", models));
  ASSIGN_OR_RETURN(resolved.cache_mode, ResolveCacheMode(options.cache_mode(), field + ".cache_mode"));
  resolved.cache_policy = options.cache_policy();
  return resolved;
}

std::string NamesOf(const std::vector<const HostedModel*>& models) {
  std::string names;
  for (const HostedModel* model : models) absl::StrAppend(&names, names.empty() ? "" : ",", model->name);
  return names;
}

std::string NamesOf(const PairOptions& options) {
  if (options.reference == nullptr) return options.policy->name;
  return NamesOf(std::vector<const HostedModel*>{options.policy, options.reference});
}

absl::StatusOr<Priority> ResolvePriority(v1::Priority priority, Priority unset, const std::string& field) {
  switch (priority) {
    case v1::PRIORITY_UNSPECIFIED: return unset;
    case v1::PRIORITY_INTERACTIVE: return Priority::kInteractive;
    case v1::PRIORITY_BULK: return Priority::kBulk;
    default: return FieldError(field, absl::StrCat(static_cast<int>(priority), " is not a known priority"));
  }
}

absl::StatusOr<CompletionOptions> ResolveOptions(const v1::ScoreCompletionsRequest& request,
                                                 const ServiceContext& context) {
  const ModelRegistry& registry = *context.registry;
  CompletionOptions resolved;
  std::vector<std::string> names(request.models().begin(), request.models().end());
  if (names.empty()) {
    names.push_back(registry.default_policy());
    if (registry.default_reference() != names.front()) names.push_back(registry.default_reference());
  }
  std::set<std::string> seen;
  for (std::size_t idx = 0; idx < names.size(); ++idx) {
    const std::string field = absl::StrCat("models[", idx, "]");
    ASSIGN_OR_RETURN(const HostedModel* model, FindModel(registry, names[idx], /*default_name=*/"", field));
    if (!seen.insert(names[idx]).second) return FieldError(field, absl::StrCat("'", names[idx], "' is named twice"));
    resolved.models.push_back(model);
  }
  ASSIGN_OR_RETURN(resolved.profile, ResolveProfile(request.profile(), "profile"));
  ASSIGN_OR_RETURN(resolved.length.policy, ResolveTruncation(request.truncation_policy(), "truncation_policy"));
  ASSIGN_OR_RETURN(resolved.length.max_length, ResolveMaxLength(request.max_length(), "max_length", resolved.models));
  ASSIGN_OR_RETURN(resolved.cache_mode, ResolveCacheMode(request.cache_mode(), "cache_mode"));
  if (!request.cache_policy()) {
    const auto reference = registry.Find(registry.default_reference());
    if (reference.ok()) {
      resolved.cached_model = *reference;
    } else {  // it could not be loaded, so none of these models is it
      resolved.cache_mode = CacheMode::kBypass;
    }
  }
  return resolved;
}

}  // namespace prefscore
