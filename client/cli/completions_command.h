// SPDX-License-Identifier: Apache-2.0
// prefscore completions: log-probs of N completions of each prompt, under one or more models.
//
// Input rows: `prompt` and `completions`, a list, in the forms that pairs take; `id`, `tools`, `chat_template_kwargs`
// optional. Output rows: PromptResult in proto3 JSON, in the order of the input.
#pragma once

#include <string>

#include "client/cli/command.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

struct CompletionsOptions {
  ServerOptions server;                 // its timeout: of one request
  std::string input;                    // JSON Lines; "-": standard input
  std::string output;                   // JSON Lines; "-": standard output
  v1::ScoreCompletionsRequest request;  // all but the prompts
  bool overwrite = false;
};

// Returns an ExitCode.
int RunCompletions(const CompletionsOptions& options);

}  // namespace prefscore::cli
