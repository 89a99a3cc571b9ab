// SPDX-License-Identifier: Apache-2.0
// One AnalyzePairs call: messages out, one report back. What broke cannot be taken up: the server holds the only state.
// Not thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::client {

class AnalysisCall {
 public:
  virtual ~AnalysisCall() = default;  // cancels a call that was not finished

  // Waits for the server to take the message. An error is that of the call, and final.
  virtual absl::Status Write(const v1::AnalyzePairsRequest& request) = 0;

  // Once, after the last message.
  virtual absl::StatusOr<v1::AnalysisReport> Finish() = 0;
};

}  // namespace prefscore::client
