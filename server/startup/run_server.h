// SPDX-License-Identifier: Apache-2.0
// A server from its configuration to the end of its drain: the one place that knows all its parts.
#pragma once

#include "absl/status/statusor.h"
#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/startup/exit_code.h"
#include "server/util/termination_signals.h"

namespace prefscore {

// Loads, serves until the first signal, drains, and gives the code to end with; where the cache's disk or a batch
// hangs, it ends the process itself. An error: it could not start.
absl::StatusOr<ExitCode> RunServer(const ServerConfig& config, TerminationSignals& signals, Logger& logger);

}  // namespace prefscore
