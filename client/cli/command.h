// SPDX-License-Identifier: Apache-2.0
// What the subcommands share.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
  bool has_tls = false;  // implied by the files
  std::string tls_server_name;  // implies TLS; empty: the address's
  // Names of files; empty: not given.
  std::string tls_ca;
  std::string tls_certificate;
  std::string tls_key;
  std::string token_file;
};

// INVALID_ARGUMENT names the flag whose file cannot be read.
absl::StatusOr<client::SecurityOptions> ReadSecurity(const ServerOptions& server);

// Tells of each retry by `note`. INVALID_ARGUMENT names the flag whose file cannot be read or used.
absl::StatusOr<std::unique_ptr<client::ScoringClient>> ConnectTo(const ServerOptions& server,
                                                                 std::function<void(const std::string&)> note);

std::function<void(const absl::Status&, absl::Duration)> RetryNote(std::function<void(const std::string&)> note);

// "prefscore: DEADLINE_EXCEEDED: ..." on standard error; returns kRunFailed.
int Fail(const absl::Status& status);

// The model of a response that a request without names uses in this role, or the one of this name; null where none
// is.
const v1::Model* FindModel(const v1::ListModelsResponse& models, const std::string& name, v1::ModelRole role);

}  // namespace prefscore::cli
