// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/subcommands.h"

#include <string>

#include "client/cli/flags/common_flags.h"

namespace prefscore::cli {
namespace {

constexpr char kModelsDescription[] =
    "Shows the hosted models and the server's limits.\n\nExample:\n  prefscore models --server localhost:50051 "
    "--json";

constexpr char kHealthDescription[] =
    "Tells whether the server serves.\n\nExample:\n"
    "  prefscore health --server localhost:50051 --service prefscore.v1.ScoringService";

constexpr char kAdminDescription[] =
    "Asks a server's admin listener: status, log-level, reload-tokens.\n\nExample:\n"
    "  prefscore admin status --server localhost:50052 --token-file admin.token";

// A subcommand of `admin`.
CLI::App* AddCommand(CLI::App& admin, const std::string& name, const std::string& description, AdminOptions& options) {
  CLI::App* command = admin.add_subcommand(name, description);
  AddServerFlags(*command, options.server, 10, "the answer");
  RequireServer(*command);
  return command;
}

}  // namespace

CLI::App* AddModels(CLI::App& app, ModelsOptions& options) {
  CLI::App* models = app.add_subcommand("models", kModelsDescription);
  AddServerFlags(*models, options.server, 10, "the answer");
  RequireServer(*models);
  models->add_flag("--json", options.json, "Print the response as JSON");
  return models;
}

CLI::App* AddHealth(CLI::App& app, HealthOptions& options) {
  CLI::App* health = app.add_subcommand("health", kHealthDescription);
  AddServerFlags(*health, options.server, 10, "the answer");
  RequireServer(*health);
  health->add_option("--service", options.service, "Full name of a gRPC service; default: the server as a whole");
  return health;
}

AdminCommands AddAdmin(CLI::App& app, AdminOptions& options) {
  CLI::App* admin = app.add_subcommand("admin", kAdminDescription);
  admin->require_subcommand(1);
  const AdminCommands commands = {
      .status = AddCommand(*admin, "status", "Shows what the server does and with what.", options),
      .log_level = AddCommand(*admin, "log-level", "Changes the level of the log until the next start.", options),
      .reload_tokens = AddCommand(*admin, "reload-tokens", "Has the server read its token file now.", options)};
  commands.status->add_flag("--json", options.json, "Print the response as JSON");
  commands.log_level->add_option("LEVEL", options.level, "debug, info, warning or error")
      ->required()
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  return commands;
}

}  // namespace prefscore::cli
