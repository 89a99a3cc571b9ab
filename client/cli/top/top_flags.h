// SPDX-License-Identifier: Apache-2.0
// The flags of `prefscore top`.
#pragma once

#include "CLI/CLI.hpp"
#include "client/cli/top/top_command.h"

namespace prefscore::cli {

// `options` outlives `app`.
CLI::App* AddTop(CLI::App& app, TopOptions& options);

}  // namespace prefscore::cli
