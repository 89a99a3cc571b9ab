// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/subcommands.h"

#include <string>

#include "client/cli/flags/common_flags.h"
#include "client/cli/flags/scoring_flags.h"
#include "client/cli/sweep_flag.h"

namespace prefscore::cli {
namespace {

constexpr char kAnalyzeDescription[] =
    "Reports what a file of pairs teaches: learning tables, sweeps over beta and gamma, the pairs to look at.\n\n"
    "Example:\n"
    "  prefscore analyze --input scores.jsonl --label category --html report.html --json report.json\n\n"
    "Rows with log-probs (what `prefscore score` writes, or a table like that of `prefscore evaluate`) need no "
    "server.\n"
    "Rows of pairs (the input of `prefscore score`) are scored on the way by the --server.\n"
    "The report is the same whatever the order of the rows. A faulty row ends the run with its line, unless\n"
    "--skip-faulty is given; then it is counted and listed.";

constexpr char kSweepHelp[] =
    "Grid: beta=LIST,gamma_over_beta=LIST; a LIST is numbers and ranges FROM:TO:COUNT[:log] joined by /. "
    "Example: beta=0.05/0.1/0.5,gamma_over_beta=0/0.1:100:10:log. none: no sweep. Default: 10 x 10 points";

}  // namespace

CLI::App* AddAnalyze(CLI::App& app, AnalyzeOptions& options) {
  CLI::App* analyze = app.add_subcommand("analyze", kAnalyzeDescription);
  v1::AnalysisOptions& analysis = options.analysis;
  AddServerFlags(*analyze, options.server, 600, "the server to answer the first call");
  analyze->add_option("--input", options.input, "JSON Lines file; - is standard input")->required();
  analyze->add_option("--html", options.html, "Write the report as one self-contained page");
  analyze->add_option("--json", options.json, "Write the report as JSON; - is standard output");
  AddObjectiveFlag(*analyze, [&](const v1::Objective& objective) {
    *analysis.mutable_scoring()->add_objectives() = objective;
  })->default_str(kDefaultObjective);
  analyze->add_option_function<std::string>(
      "--sweep",
      [&](const std::string& flag) {
        const absl::StatusOr<v1::SweepGrid> grid = ParseSweepFlag(flag);
        if (!grid.ok()) throw CLI::ValidationError(std::string(grid.status().message()));
        *analysis.mutable_sweep() = *grid;
      },
      kSweepHelp);
  analyze
      ->add_option("--label", options.label_fields,
                   "Name of a member of the rows whose values slice the report, such as category; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  analyze->add_flag_callback(
      "--skip-faulty", [&] { analysis.set_skip_faulty_pairs(true); },
      "Count and list faulty rows instead of ending with the first one");
  analyze
      ->add_option_function<std::uint32_t>(
          "--max-slices", [&](const std::uint32_t& count) { analysis.set_max_slices(count); },
          "Most slices per label; further values are grouped")
      ->check(CLI::Range(1, 1024))
      ->default_str("64");
  analyze
      ->add_option_function<std::uint32_t>(
          "--list", [&](const std::uint32_t& count) { analysis.set_num_listed_pairs(count); },
          "Most pairs in each list of pairs to look at")
      ->check(CLI::Range(1, 1000))
      ->default_str("10");
  analyze
      ->add_option_function<double>(
          "--learning-threshold", [&](const double& weight) { analysis.set_learning_threshold(weight); },
          "A pair still learns where its sigmoid weight is above this")
      ->default_str("0.05");
  analyze
      ->add_option_function<double>(
          "--saturation-threshold", [&](const double& weight) { analysis.set_saturation_threshold(weight); },
          "A pair is saturated where its sigmoid weight is below this")
      ->default_str("0.01");
  AddModelFlags(*analyze, *analysis.mutable_scoring());
  AddCacheFlags(*analyze, *analysis.mutable_scoring());
  return analyze;
}

}  // namespace prefscore::cli
