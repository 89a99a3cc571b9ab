// SPDX-License-Identifier: Apache-2.0
#include "server/config/logging_options.h"

#include <CLI/App.hpp>
#include <algorithm>
#include <iterator>

#include "server/config/option_checks.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::int64_t kMaxSlowRequestMs = 3'600'000;

template <typename Names>
std::size_t IndexOf(const std::string& name, const Names& names) {
  return static_cast<std::size_t>(std::find(std::begin(names), std::end(names), name) - std::begin(names));
}

}  // namespace

LogFormat LoggingOptions::log_format() const { return static_cast<LogFormat>(IndexOf(format, kLogFormatNames)); }

LogLevel LoggingOptions::log_level() const { return static_cast<LogLevel>(IndexOf(level, kLogLevelNames)); }

void AddOptions(CLI::App& app, LoggingOptions& options) {
  app.add_option("--log-format", options.format, "Lines of the log on standard error: text or json")
      ->type_name("FORMAT")
      ->capture_default_str();
  app.add_option("--log-level", options.level,
                 "Least important lines that are logged: debug (each call), info, warning or error")
      ->type_name("LEVEL")
      ->capture_default_str();
  app.add_option("--slow-request-ms", options.slow_request_ms,
                 "Unary calls that take this long are logged as warnings, milliseconds; 0: none is")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--log-content", options.with_content,
                 "Log what is sent, too, with prompts and completions: true or false")
      ->type_name("BOOL")
      ->default_str("false");
}

absl::Status CheckOptions(const LoggingOptions& options) {
  RETURN_IF_ERROR(CheckOneOf("--log-format", options.format, {"text", "json"}));
  RETURN_IF_ERROR(CheckOneOf("--log-level", options.level, {"debug", "info", "warning", "error"}));
  return CheckRange("--slow-request-ms", options.slow_request_ms, std::int64_t{0}, kMaxSlowRequestMs);
}

}  // namespace prefscore
