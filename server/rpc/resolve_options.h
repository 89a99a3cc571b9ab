// SPDX-License-Identifier: Apache-2.0
// What holds for a whole call: models by name, objectives, profile, lengths. Every fault here fails the call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefscore/v1/scoring.pb.h"
#include "server/rpc/service_context.h"
#include "server/scoring/scorer.h"

namespace prefscore {

// Errors name fields under "options".
absl::StatusOr<PairOptions> ResolveOptions(const v1::ScoringOptions& options, const ServiceContext& context);

// The options that a ScoreCompletionsRequest carries beside its prompts.
absl::StatusOr<CompletionOptions> ResolveOptions(const v1::ScoreCompletionsRequest& request,
                                                 const ServiceContext& context);

// Objectives with their defaults filled in; the default objective where there are none. `field` is their path.
absl::StatusOr<std::vector<Objective>> ResolveObjectives(
    const google::protobuf::RepeatedPtrField<v1::Objective>& objectives, const std::string& field,
    const Limits& limits);

// INVALID_ARGUMENT where `count` is outside [1, max]; `limit` is the limit's name.
absl::Status CheckCount(const std::string& field, int count, const std::string& limit, std::int64_t max);

}  // namespace prefscore
