// SPDX-License-Identifier: Apache-2.0
// prefscore evaluate: objectives of pairs whose log-probs are known. Runs no model, and here unless a server is named.
//
// Output rows are those of `prefscore score`, in the order of the input. A row that cannot be evaluated has its error
// as `status`, and is told on standard error with its line.
#pragma once

#include <string>
#include <vector>

#include "client/cli/command.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

struct EvaluateOptions {
  ServerOptions server;  // without an address, the objectives are evaluated in this process
  std::string input;     // JSON Lines; "-": standard input
  std::string output;    // JSON Lines; "-": standard output
  std::vector<v1::Objective> objectives;
  std::size_t batch_size = 0;  // pairs of a batch, for batch objectives; 0: all of the input
  bool overwrite = false;
};

// Returns an ExitCode.
int RunEvaluate(const EvaluateOptions& options);

}  // namespace prefscore::cli
