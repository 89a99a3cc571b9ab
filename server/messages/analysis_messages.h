// SPDX-License-Identifier: Apache-2.0
// Analyses between the wire and the domain. No gRPC: the server and the command line share this.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "prefscore/v1/diagnostics.pb.h"
#include "server/diagnostics/analyzer.h"

namespace prefscore {

// Options with their defaults filled in. FieldErrors name fields of AnalysisOptions.
absl::StatusOr<AnalysisOptions> AnalysisOptionsFromProto(const v1::AnalysisOptions& proto, std::int64_t max_objectives);

// The digests that the numbers of a report come from: those that sort first. Not thread-safe.
class DigestSet {
 public:
  void Add(const std::string& digest);  // an empty one is none
  const std::set<std::string>& digests() const { return digests_; }

 private:
  std::set<std::string> digests_;
};

// A pair of known log-probs as the analyzer takes it. FieldErrors name fields of PairLogProbs.
absl::StatusOr<AnalyzedPair> AnalyzedPairFromProto(const v1::PairLogProbs& pair);

// A fault of PairLogProbs is one of its numbers: a log-prob that is NaN or infinite.
bool HasNonFinite(const v1::KnownLogProbs& logps);

// `scoring`: how pairs were scored, which the report repeats.
v1::AnalysisReport ReportToProto(const AnalysisReport& report, const AnalysisOptions& options,
                                 const v1::ScoringOptions& scoring, const DigestSet& policies,
                                 const DigestSet& references);

}  // namespace prefscore
