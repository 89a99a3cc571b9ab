// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/subcommands.h"

#include <string>
#include <vector>

#include "client/cli/flags/common_flags.h"
#include "client/cli/flags/scoring_flags.h"
#include "client/cli/objective_flag.h"

namespace prefscore::cli {
namespace {

constexpr std::size_t kDefaultTableRows = 20;

constexpr char kScoreDescription[] =
    "Scores a file of preference pairs: one result per row, in the order of the input.\n\n"
    "Example:\n"
    "  prefscore score --server localhost:50051 --input pairs.jsonl --output scores.jsonl \\\n"
    "      --objective sigmoid:beta=0.1 --objective sigmoid:beta=0.1,gamma=0.05 --table 10\n\n"
    "An input row is a JSON object on one line:\n"
    "  {\"id\": \"a\", \"prompt\": \"2 + 2 =\", \"chosen\": \" 4\", \"rejected\": \" 5\"}\n"
    "prompt, chosen and rejected are strings, lists of chat messages or lists of token ids. Without a prompt it is\n"
    "the common start of chosen and rejected, as in TRL. Optional: id, tools, chat_template_kwargs, and log-probs\n"
    "that are known already (reference_chosen_logp ..., or TRL's ref_chosen_logps and ref_rejected_logps).\n\n"
    "An interrupted run goes on where it stopped: rows that the output holds are kept, if they were made with\n"
    "the same options and models (OUTPUT.run.json remembers them) and have the same ids.\n"
    "Failed rows are kept too; score them again with --overwrite.";

}  // namespace

CLI::App* AddScore(CLI::App& app, ScoreOptions& options) {
  CLI::App* score = app.add_subcommand("score", kScoreDescription);
  AddServerFlags(*score, options.server, 600, "a next result");
  RequireServer(*score);
  AddFileFlags(*score, options.input, options.output, options.overwrite);
  v1::ScoringOptions& scoring = options.scoring;
  AddModelFlags(*score, scoring);
  AddObjectiveFlag(*score, [&](const v1::Objective& objective) {
    *scoring.add_objectives() = objective;
  })->default_str(kDefaultObjective);
  // A callback of a subcommand runs after its flags are read.
  score->callback([&] {
    if (scoring.objectives().empty()) *scoring.add_objectives() = *ParseObjectiveFlag(kDefaultObjective);
  });
  AddScoringFlags(*score, scoring);
  score->add_flag_callback(
      "--timings", [&] { scoring.set_return_timings(true); },
      "Write where each pair's time on the server went, too (microseconds; a batch's passes are told to all its pairs)");
  score->add_option("--window", options.window, "Most pairs under way")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  score->add_option_function<std::string>(
      "--expect-policy-digest", [&](const std::string& digest) { scoring.set_expected_policy_digest(digest); },
      "Fail unless the policy has this digest (see `prefscore models`)");
  score->add_option_function<std::string>(
      "--expect-reference-digest", [&](const std::string& digest) { scoring.set_expected_reference_digest(digest); },
      "Fail unless the reference has this digest");
  score
      ->add_option_function<std::vector<std::string>>(
          "--table",
          [&](const std::vector<std::string>& values) {
            std::size_t num_rows = kDefaultTableRows;
            const bool has_value = !values.empty() && !values[0].empty() && values[0] != "{}";
            if (has_value && !CLI::detail::lexical_cast(values[0], num_rows)) {
              throw CLI::ValidationError("--table " + values[0] + ": is not a number of rows");
            }
            options.num_table_rows = num_rows;
          },
          "Print a table of the first rows at the end (20 unless given): h and h0 are the margins of policy and "
          "reference in nats, the last columns tell who ranks the pair as the annotator did")
      ->expected(0, 1)
      ->type_name("[ROWS]");
  return score;
}

}  // namespace prefscore::cli
