// SPDX-License-Identifier: Apache-2.0
// Objectives between the wire and the domain. No gRPC: the server and the command line share this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "prefscore/v1/scoring.pb.h"
#include "server/objectives/objective.h"

namespace prefscore {

// INVALID_ARGUMENT where `count` is outside [1, max]; `limit` is the limit's name.
absl::Status CheckCount(const std::string& field, std::int64_t count, const std::string& limit, std::int64_t max);

// Objectives with their defaults filled in; the default objective where there are none. `field` is their path.
absl::StatusOr<std::vector<Objective>> ObjectivesFromProto(
    const google::protobuf::RepeatedPtrField<v1::Objective>& objectives, const std::string& field,
    std::int64_t max_objectives);

// A FieldError for the first batch objective: `pairs` come one by one, and there is no batch.
absl::Status CheckNoBatchObjective(const std::vector<Objective>& objectives, const std::string& field,
                                   const std::string& pairs);

void ObjectiveToProto(const Objective& objective, const ObjectiveValue& value, v1::ObjectiveResult& result);

void BatchStatesToProto(const std::vector<BatchState>& states,
                        google::protobuf::RepeatedPtrField<v1::BatchState>& protos);

// What the registry knows.
v1::ListObjectivesResponse ListObjectivesToProto();

}  // namespace prefscore
