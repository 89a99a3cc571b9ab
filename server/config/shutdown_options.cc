// SPDX-License-Identifier: Apache-2.0
#include "server/config/shutdown_options.h"

#include <CLI/App.hpp>

#include "server/config/option_checks.h"

namespace prefscore {
namespace {

constexpr double kMaxGraceSeconds = 3600;

}  // namespace

void AddOptions(CLI::App& app, ShutdownOptions& options) {
  app.add_option("--shutdown-grace", options.grace_seconds,
                 "How long a shutdown waits for admitted work, seconds; then it is cancelled, but for the batch in flight")
      ->type_name("SECONDS")
      ->capture_default_str();
}

absl::Status CheckOptions(const ShutdownOptions& options) {
  return CheckRange("--shutdown-grace", options.grace_seconds, 0.0, kMaxGraceSeconds);
}

}  // namespace prefscore
