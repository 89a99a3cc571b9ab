// SPDX-License-Identifier: Apache-2.0
// What the log holds.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "server/logging/log_line.h"

namespace CLI {
class App;
}

namespace prefscore {

struct LoggingOptions {
  std::string format = "text";  // a name of kLogFormatNames
  std::string level = "info";   // of kLogLevelNames
  std::int64_t slow_request_ms = 0;  // unary calls that take as long are logged as warnings; 0: none is
  bool with_content = false;         // prompts, completions and whatever else was sent

  // REQUIRES: CheckOptions found nothing.
  LogFormat log_format() const;
  LogLevel log_level() const;
};

void AddOptions(CLI::App& app, LoggingOptions& options);
absl::Status CheckOptions(const LoggingOptions& options);

}  // namespace prefscore
