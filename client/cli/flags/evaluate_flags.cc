// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/subcommands.h"

#include "client/cli/flags/common_flags.h"

namespace prefscore::cli {
namespace {

constexpr char kEvaluateDescription[] =
    "Evaluates objectives of pairs whose log-probs are known; runs no model.\n\n"
    "Example:\n"
    "  prefscore evaluate --input scores.jsonl --output losses.jsonl --objective ipo:beta=0.1 --objective simpo\n\n"
    "An input row is a JSON object on one line, such as `prefscore score` writes:\n"
    "  {\"policy_chosen_logp\": -12.5, \"policy_rejected_logp\": -14, \"reference_chosen_logp\": -13,\n"
    "   \"reference_rejected_logp\": -13.5, \"num_chosen_tokens\": 9, \"num_rejected_tokens\": 7}\n"
    "Only what the objectives need must be there: `prefscore objectives` tells what that is. Also read: id, "
    "score_gap,\n"
    "labels, token_logps, and TRL's ref_chosen_logps and ref_rejected_logps.\n"
    "Without --server it runs in this process, with the code that a server runs.";

constexpr char kObjectivesDescription[] =
    "Lists all objectives with formulas, parameters, defaults and sources.\n\nExample:\n  prefscore objectives";

}  // namespace

CLI::App* AddEvaluate(CLI::App& app, EvaluateOptions& options) {
  CLI::App* evaluate = app.add_subcommand("evaluate", kEvaluateDescription);
  AddServerFlags(*evaluate, options.server, 600, "one request");
  AddFileFlags(*evaluate, options.input, options.output, options.overwrite);
  AddObjectiveFlag(*evaluate, [&](const v1::Objective& objective) {
    options.objectives.push_back(objective);
  })->required();
  evaluate
      ->add_option("--batch-size", options.batch_size,
                   "Rows of a batch, for objectives that need one (aot, kto_pair, ...); default: all rows")
      ->check(CLI::PositiveNumber);
  return evaluate;
}

CLI::App* AddObjectives(CLI::App& app, ObjectivesFormat& format) {
  CLI::App* objectives = app.add_subcommand("objectives", kObjectivesDescription);
  objectives->add_flag_callback(
      "--markdown", [&] { format = ObjectivesFormat::kMarkdown; }, "Print a Markdown table");
  objectives->add_flag_callback(
      "--json", [&] { format = ObjectivesFormat::kJson; }, "Print JSON");
  return objectives;
}

}  // namespace prefscore::cli
