// SPDX-License-Identifier: Apache-2.0
// What holds for a whole call: models by name, objectives, profile, lengths. Every fault here fails the call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefscore/v1/scoring.pb.h"
#include "server/rpc/group_from_proto.h"
#include "server/rpc/service_context.h"
#include "server/scoring/scorer.h"

namespace prefscore {

// Errors name fields under `field`.
absl::StatusOr<PairOptions> ResolveOptions(const v1::ScoringOptions& options, const ServiceContext& context,
                                           const std::string& field = "options");

// The names of a call's models, for the log.
std::string NamesOf(const PairOptions& options);
std::string NamesOf(const std::vector<const HostedModel*>& models);

// `unset` stands in for PRIORITY_UNSPECIFIED.
absl::StatusOr<Priority> ResolvePriority(v1::Priority priority, Priority unset, const std::string& field);

// What the pairs of a call are checked against.
inline GroupRules RulesOf(const PairOptions& options, const ServiceContext& context) {
  return {context.limits, options.profile, options.reference != nullptr};
}

// The options that a ScoreCompletionsRequest carries beside its prompts.
absl::StatusOr<CompletionOptions> ResolveOptions(const v1::ScoreCompletionsRequest& request,
                                                 const ServiceContext& context);

}  // namespace prefscore
