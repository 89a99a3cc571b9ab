// SPDX-License-Identifier: Apache-2.0
// Where an analysis is made: in this process, or at a server. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/command.h"
#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::cli {

class AnalysisRun {
 public:
  virtual ~AnalysisRun() = default;

  // An error ends the run.
  virtual absl::Status AddLogProbs(v1::PairLogProbs pair) = 0;
  virtual absl::Status AddPair(v1::PreferencePair pair) = 0;
  // A row that never became a pair, where faulty ones are skipped.
  virtual void AddFaulty(const std::string& id, const absl::Status& fault) = 0;
  virtual absl::StatusOr<v1::AnalysisReport> Finish() = 0;
};

// In this process; pairs without log-probs are refused.
absl::StatusOr<std::unique_ptr<AnalysisRun>> AnalyzeHere(const v1::AnalysisOptions& options);

// At the server.
absl::StatusOr<std::unique_ptr<AnalysisRun>> AnalyzeAt(const ServerOptions& server, const v1::AnalysisOptions& options,
                                                       std::function<void(const std::string&)> note);

}  // namespace prefscore::cli
