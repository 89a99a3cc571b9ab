// SPDX-License-Identifier: Apache-2.0
// Flags that several subcommands have. What they fill outlives `app`.
#pragma once

#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "client/cli/command.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

inline constexpr char kDefaultObjective[] = "sigmoid:beta=0.1";  // as in TRL

// Which server, how it is trusted, and how long it is waited for.
void AddServerFlags(CLI::App& app, ServerOptions& server, double default_timeout_seconds, const std::string& of_what);

// --server must be given.
void RequireServer(CLI::App& app);

// --objective, repeatable; `add` is called for each.
CLI::Option* AddObjectiveFlag(CLI::App& app, std::function<void(const v1::Objective&)> add);

void AddFileFlags(CLI::App& app, std::string& input, std::string& output, bool& overwrite);

}  // namespace prefscore::cli
