// SPDX-License-Identifier: Apache-2.0
// The subcommands, each from its flags into its options, which outlive `app`.
#pragma once

#include "CLI/CLI.hpp"
#include "client/cli/admin_command.h"
#include "client/cli/analyze_command.h"
#include "client/cli/completions_command.h"
#include "client/cli/evaluate_command.h"
#include "client/cli/health_command.h"
#include "client/cli/models_command.h"
#include "client/cli/objectives_command.h"
#include "client/cli/score_command.h"
#include "client/cli/token_command.h"

namespace prefscore::cli {

CLI::App* AddScore(CLI::App& app, ScoreOptions& options);
CLI::App* AddCompletions(CLI::App& app, CompletionsOptions& options);
CLI::App* AddEvaluate(CLI::App& app, EvaluateOptions& options);
CLI::App* AddAnalyze(CLI::App& app, AnalyzeOptions& options);
CLI::App* AddObjectives(CLI::App& app, ObjectivesFormat& format);
CLI::App* AddModels(CLI::App& app, ModelsOptions& options);
CLI::App* AddHealth(CLI::App& app, HealthOptions& options);

struct AdminCommands {
  CLI::App* status;
  CLI::App* log_level;
  CLI::App* reload_tokens;
};
AdminCommands AddAdmin(CLI::App& app, AdminOptions& options);

// Returns `token new`.
CLI::App* AddToken(CLI::App& app, TokenOptions& options);

}  // namespace prefscore::cli
