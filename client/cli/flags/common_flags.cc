// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/common_flags.h"

#include <utility>
#include <vector>

#include "client/cli/objective_flag.h"

namespace prefscore::cli {
namespace {

constexpr char kObjectiveHelp[] =
    "[WEIGHT*]NAME[:PARAMETER=VALUE,...][+...], repeatable; see `prefscore objectives` for names and parameters. "
    "Examples: sigmoid:beta=0.1,gamma=0.05 or 0.8*sigmoid+0.2*bco_pair+sft";

}  // namespace

void AddServerFlags(CLI::App& app, ServerOptions& server, double default_timeout_seconds, const std::string& of_what) {
  server.timeout = absl::Seconds(default_timeout_seconds);
  app.add_option("--server", server.address, "HOST:PORT of the server");
  app.add_flag("--tls", server.has_tls, "Talk TLS, with a server whom this machine trusts")->group("Security");
  const auto add_file = [&app](const char* flag, std::string& path, const char* help) {
    return app.add_option(flag, path, help)->check(CLI::ExistingFile)->type_name("FILE")->group("Security");
  };
  add_file("--tls-ca", server.tls_ca, "Talk TLS, with a server whom the authorities of this PEM file have certified");
  app.add_option("--tls-server-name", server.tls_server_name,
                 "Talk TLS; the name that the server's certificate must have, where it is not the one of --server")
      ->type_name("NAME")
      ->group("Security");
  CLI::Option* certificate =
      add_file("--tls-certificate", server.tls_certificate, "This client's certificate, where the server asks for one");
  CLI::Option* key = add_file("--tls-key", server.tls_key, "The key of --tls-certificate");
  certificate->needs(key);
  key->needs(certificate);
  add_file("--token-file", server.token_file, "Holds the token that is sent with each call");
  app.add_option_function<double>(
         "--timeout", [&server](const double& seconds) { server.timeout = absl::Seconds(seconds); },
         "Seconds to wait for " + of_what)
      ->check(CLI::PositiveNumber)
      ->default_str(CLI::detail::to_string(default_timeout_seconds));
}

void RequireServer(CLI::App& app) { app.get_option("--server")->required(); }

CLI::Option* AddObjectiveFlag(CLI::App& app, std::function<void(const v1::Objective&)> add) {
  return app
      .add_option_function<std::vector<std::string>>(
          "--objective",
          [add = std::move(add)](const std::vector<std::string>& flags) {
            for (const std::string& flag : flags) {
              const absl::StatusOr<v1::Objective> objective = ParseObjectiveFlag(flag);
              if (!objective.ok()) throw CLI::ValidationError(std::string(objective.status().message()));
              add(*objective);
            }
          },
          kObjectiveHelp)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void AddFileFlags(CLI::App& app, std::string& input, std::string& output, bool& overwrite) {
  app.add_option("--input", input, "JSON Lines file; - is standard input")->required();
  app.add_option("--output", output, "JSON Lines file; - is standard output")->required();
  app.add_flag("--overwrite", overwrite, "Drop what the output holds and start anew");
}

}  // namespace prefscore::cli
