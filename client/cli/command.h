// SPDX-License-Identifier: Apache-2.0
// What the subcommands share.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/scoring_client.h"

namespace prefscore::cli {

enum ExitCode : int {
  kAllDone = 0,
  kRunFailed = 1,  // health: not serving
  kUsage = 2,
  kSomeRowsFailed = 3,
};

struct ServerOptions {
  std::string address;  // HOST:PORT
  absl::Duration timeout;
};

// Tells of each retry by `note`.
std::unique_ptr<client::ScoringClient> ConnectTo(const ServerOptions& server,
                                                 std::function<void(const std::string&)> note);

std::function<void(const absl::Status&, absl::Duration)> RetryNote(std::function<void(const std::string&)> note);

// "prefscore: DEADLINE_EXCEEDED: ..." on standard error; returns kRunFailed.
int Fail(const absl::Status& status);

// The model of a response that a request without names uses in this role, or the one of this name; null where none
// is.
const v1::Model* FindModel(const v1::ListModelsResponse& models, const std::string& name, v1::ModelRole role);

}  // namespace prefscore::cli
