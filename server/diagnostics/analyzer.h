// SPDX-License-Identifier: Apache-2.0
// Takes preference pairs in any order and makes one report of them: proto/prefscore/v1/diagnostics.proto defines it.
//
// The report is a function of the set of pairs: the same to the last bit whatever their order, and however they were
// spread over Analyzers that were merged.
//
// Memory is bounded by the options, whatever the number of pairs. A slice of many pairs takes 128 KiB for each of its
// distributions (10, and 7 per objective; more where a number's magnitudes exceed 1e10, up to 1.1 MB) and about 800
// bytes per objective and point of sweep and temper. A slice of less than 1,024 pairs takes what its pairs do.
//
// Not thread-safe: an Analyzer belongs to one thread at a time. Threads that share the work have one each and merge
// them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/diagnostics/analysis_options.h"
#include "server/diagnostics/report.h"
#include "server/objectives/objective.h"

namespace prefscore {

// Most label names of a pair, and of all pairs of a report.
inline constexpr std::size_t kMaxLabelNames = 8;

struct AnalyzedPair {
  std::string id;
  // The reference's log-probs may be kUnknown, both of them, where no objective needs them; token counts likewise.
  PairInputs inputs;
  std::vector<std::pair<std::string, std::string>> labels;  // name, not empty and each once, and value
};

class Analyzer {
 public:
  // REQUIRES: Validate(options).
  explicit Analyzer(AnalysisOptions options);
  ~Analyzer();
  Analyzer(Analyzer&&);
  Analyzer& operator=(Analyzer&&);

  const AnalysisOptions& options() const;

  // A faulty pair (not what an objective needs, a log-prob that is positive or below -kLargestMagnitude, a token count
  // below 1, wrong labels) is counted and listed as such, and is in nothing else of the report. Unless
  // options.skip_faulty_pairs, its fault is returned, a FieldError whose field is a pair's: the caller ends the
  // analysis with it.
  //
  // An error whatever the options: FAILED_PRECONDITION, under the field "labels", where all pairs together have more
  // than kMaxLabelNames label names. Which names were left out would depend on the order of pairs, so there is no
  // report.
  absl::Status Add(const AnalyzedPair& pair);

  // Counts a pair that the caller found to be faulty. is_non_finite: a log-prob of it is NaN or infinite.
  void AddFaulty(const std::string& id, const std::string& message, bool is_non_finite);

  // As if all pairs of `other` had been added here. The error of too many label names, as of Add.
  // REQUIRES: the same options.
  absl::Status Merge(Analyzer&& other);

  // Of the pairs so far; more may follow.
  AnalysisReport MakeReport();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace prefscore
