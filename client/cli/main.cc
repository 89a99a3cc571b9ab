// SPDX-License-Identifier: Apache-2.0
// The command line: which subcommand, and its exit code.
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "client/cli/flags/subcommands.h"
#include "client/cli/top/top_flags.h"

namespace prefscore::cli {
namespace {

constexpr char kDescription[] =
    "Scores preference pairs under a policy and a reference language model on a prefscore server.\n\n"
    "  prefscore health --server localhost:50051\n"
    "  prefscore models --server localhost:50051\n"
    "  prefscore score --server localhost:50051 --input pairs.jsonl --output scores.jsonl\n"
    "  prefscore top --metrics localhost:9464\n\n"
    "`prefscore SUBCOMMAND --help` tells more.";

constexpr char kExitCodes[] =
    "Exit codes: 0 all done (health: serving), 1 the run failed (health: not serving), 2 wrong usage,\n"
    "3 the run is complete but some rows failed; the output holds their errors.";

// In the list of subcommands, the first line of each one's description is enough.
class OverviewFormatter : public CLI::Formatter {
  std::string make_subcommand(const CLI::App* command) const override {
    const std::string& description = command->get_description();
    std::ostringstream line;
    CLI::detail::format_help(line, command->get_name(), description.substr(0, description.find('\n')),
                             get_column_width());
    return line.str();
  }
};

int Run(int argc, char** argv) {
  CLI::App app(kDescription, "prefscore");
  app.footer(kExitCodes);
  app.formatter(std::make_shared<OverviewFormatter>());
  app.require_subcommand(1);
  ScoreOptions score_options;
  CompletionsOptions completions_options;
  EvaluateOptions evaluate_options;
  AnalyzeOptions analyze_options;
  ObjectivesFormat objectives_format = ObjectivesFormat::kText;
  ModelsOptions models_options;
  HealthOptions health_options;
  TopOptions top_options;
  TokenOptions token_options;
  AdminOptions admin_options;
  const AdminCommands admin = AddAdmin(app, admin_options);
  const std::vector<std::pair<CLI::App*, std::function<int()>>> commands = {
      {AddScore(app, score_options), [&] { return RunScore(score_options); }},
      {AddCompletions(app, completions_options), [&] { return RunCompletions(completions_options); }},
      {AddEvaluate(app, evaluate_options), [&] { return RunEvaluate(evaluate_options); }},
      {AddAnalyze(app, analyze_options), [&] { return RunAnalyze(analyze_options); }},
      {AddObjectives(app, objectives_format), [&] { return RunObjectives(objectives_format); }},
      {AddModels(app, models_options), [&] { return RunModels(models_options); }},
      {AddHealth(app, health_options), [&] { return RunHealth(health_options); }},
      {AddTop(app, top_options), [&] { return RunTop(top_options); }},
      {AddToken(app, token_options), [&] { return RunNewToken(token_options); }},
      {admin.status, [&] { return RunAdminStatus(admin_options); }},
      {admin.log_level, [&] { return RunAdminLogLevel(admin_options); }},
      {admin.reload_tokens, [&] { return RunAdminReloadTokens(admin_options); }}};
  for (const auto& [command, run] : commands) command->footer(kExitCodes);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kAllDone : kUsage;
  }
  for (const auto& [command, run] : commands) {
    if (command->parsed()) return run();
  }
  return kUsage;
}

}  // namespace
}  // namespace prefscore::cli

int main(int argc, char** argv) { return prefscore::cli::Run(argc, argv); }
