// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/subcommands.h"

#include <string>
#include <vector>

#include "client/cli/flags/common_flags.h"
#include "client/cli/flags/scoring_flags.h"

namespace prefscore::cli {
namespace {

constexpr char kCompletionsDescription[] =
    "Log-probabilities of the completions of each prompt.\n\n"
    "Example:\n"
    "  prefscore completions --server localhost:50051 --model policy --input prompts.jsonl --output -\n\n"
    "An input row is a JSON object on one line:\n"
    "  {\"id\": \"a\", \"prompt\": \"2 + 2 =\", \"completions\": [\" 4\", \" 5\", \" four\"]}";

}  // namespace

CLI::App* AddCompletions(CLI::App& app, CompletionsOptions& options) {
  CLI::App* completions = app.add_subcommand("completions", kCompletionsDescription);
  AddServerFlags(*completions, options.server, 600, "one request of up to 16 rows");
  RequireServer(*completions);
  AddFileFlags(*completions, options.input, options.output, options.overwrite);
  completions
      ->add_option_function<std::vector<std::string>>(
          "--model",
          [&](const std::vector<std::string>& names) {
            options.request.mutable_models()->Add(names.begin(), names.end());
          },
          "Name of a model to score under, repeatable; default: the server's policy and reference")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  AddScoringFlags(*completions, options.request);
  completions->add_flag_callback(
      "--greedy-match", [&] { options.request.set_return_greedy_match(true); },
      "Tell whether each completion is what greedy decoding gives");
  return completions;
}

}  // namespace prefscore::cli
