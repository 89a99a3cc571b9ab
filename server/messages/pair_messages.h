// SPDX-License-Identifier: Apache-2.0
// Pairs of known log-probs between the wire and the domain. No gRPC: the server and the command line share this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefscore/v1/scoring.pb.h"
#include "server/objectives/objective.h"

namespace prefscore {

// INVALID_ARGUMENT naming "id" or "labels" where either is too long or too many.
absl::Status CheckId(const std::string& id);
absl::Status CheckLabels(const google::protobuf::Map<std::string, std::string>& labels);

// What objectives may need of the pair; kUnknown where it says nothing. FieldErrors name a field of PairLogProbs: a
// log-prob that is missing, positive or not finite; token log-probs that fit neither the lengths nor the sums.
absl::StatusOr<PairInputs> InputsFromProto(const v1::PairLogProbs& pair);

// What a result repeats of its pair. `pair` is a PreferencePair or PairLogProbs.
template <typename Pair>
void EchoPair(const Pair& pair, std::uint32_t index, v1::PairResult& result) {
  result.set_id(pair.id());
  result.set_index(index);
  if (pair.has_score_gap()) result.set_score_gap(pair.score_gap());
  *result.mutable_labels() = pair.labels();
}

// Evaluates the pairs of known log-probs. `statuses` [pairs] holds the faults that are known already, and afterwards
// those of all pairs, as FieldErrors that name a field of PairLogProbs. The results of faulty pairs repeat the pair, no
// more.
void EvaluateLogProbs(const google::protobuf::RepeatedPtrField<v1::PairLogProbs>& pairs,
                      const std::vector<Objective>& objectives, std::vector<absl::Status>& statuses,
                      v1::EvaluateObjectivesResponse& response);

// Log-probs, ratios and margins; those of an unknown reference stay absent.
void LogProbsToProto(const PairLogProbs& logps, v1::PairResult& result);

}  // namespace prefscore
