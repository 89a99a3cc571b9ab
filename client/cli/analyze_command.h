// SPDX-License-Identifier: Apache-2.0
// prefscore analyze: one report about a file of pairs: a summary on standard output, HTML and JSON in files.
//
// Rows with log-probs (what `prefscore score` writes) are analysed in this process; rows of pairs are scored and
// analysed by the server that is named. With a server, all rows go there.
#pragma once

#include <string>
#include <vector>

#include "client/cli/command.h"
#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::cli {

struct AnalyzeOptions {
  ServerOptions server;  // without an address, the analysis is made in this process
  std::string input;     // JSON Lines; "-": standard input
  std::string html;      // file for the page; empty: none
  std::string json;      // file for the report in proto3 JSON; "-": standard output; empty: none
  std::vector<std::string> label_fields;
  v1::AnalysisOptions analysis;
};

// Returns an ExitCode.
int RunAnalyze(const AnalyzeOptions& options);

}  // namespace prefscore::cli
