// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/subcommands.h"

#include <map>
#include <string>
#include <vector>

namespace prefscore::cli {
namespace {

constexpr char kTokenDescription[] = "Makes tokens, for servers that let in only who has one.";

constexpr char kNewTokenDescription[] =
    "Makes a random token. Its entry for the server's token file goes to standard output; the token itself is shown on\n"
    "standard error, once, or written to --output.\n\n"
    "Example:\n"
    "  prefscore token new --name trainer --role score --output trainer.token >> tokens.toml\n\n"
    "Expiry and quotas are added to the entry by hand: deploy/SECURITY.md.";

const std::map<std::string, Role> kRoles = {
    {"score", Role::kScore}, {"admin", Role::kAdmin}, {"metrics", Role::kMetrics}};

}  // namespace

CLI::App* AddToken(CLI::App& app, TokenOptions& options) {
  CLI::App* token = app.add_subcommand("token", kTokenDescription);
  token->require_subcommand(1);
  CLI::App* made = token->add_subcommand("new", kNewTokenDescription);
  made->add_option("--name", options.name, "Whose token it is, in messages, logs and metrics")->required();
  made->add_option_function<std::vector<std::string>>(
          "--role",
          [&](const std::vector<std::string>& names) {
            for (const std::string& name : names) options.roles.push_back(kRoles.at(name));
          },
          "What it allows: score, admin (the admin service) or metrics (reading them); repeatable")
      ->required()
      ->check(CLI::IsMember(kRoles))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  made->add_option("--output", options.output, "A new file for the token, which only its owner can read");
  return made;
}

}  // namespace prefscore::cli
