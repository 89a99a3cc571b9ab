// SPDX-License-Identifier: Apache-2.0
// prefscore score: a file of pairs in, a file of results out, in the same order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "client/cli/command.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

struct ScoreOptions {
  ServerOptions server;  // its timeout: also the longest wait for a next result
  std::string input;     // JSON Lines; "-": standard input
  std::string output;    // JSON Lines; "-": standard output
  v1::ScoringOptions scoring;
  int window = 128;  // most pairs under way, > 0
  bool overwrite = false;
  std::optional<std::size_t> num_table_rows;  // print a table of the first rows
};

// Returns an ExitCode.
int RunScore(const ScoreOptions& options);

}  // namespace prefscore::cli
