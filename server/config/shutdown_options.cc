// SPDX-License-Identifier: Apache-2.0
#include "server/config/shutdown_options.h"

#include <CLI/App.hpp>

#include "server/config/option_checks.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr double kMaxSeconds = 3600;

}  // namespace

void AddOptions(CLI::App& app, ShutdownOptions& options) {
  app.add_option("--drain-delay", options.delay_seconds,
                 "How long a shutdown still takes new work once health is NOT_SERVING, seconds: until load balancers notice")
      ->type_name("SECONDS")
      ->capture_default_str();
  app.add_option("--shutdown-grace", options.grace_seconds,
                 "How long a shutdown waits for admitted work, seconds; then it is refused, but for the batch in flight")
      ->type_name("SECONDS")
      ->capture_default_str();
}

absl::Status CheckOptions(const ShutdownOptions& options) {
  RETURN_IF_ERROR(CheckRange("--drain-delay", options.delay_seconds, 0.0, kMaxSeconds));
  return CheckRange("--shutdown-grace", options.grace_seconds, 0.0, kMaxSeconds);
}

}  // namespace prefscore
