// SPDX-License-Identifier: Apache-2.0
// One line of the log, as text or as JSON. Whatever a value holds, it stays within its line: control characters and all
// that is not ASCII are escaped as JSON escapes them.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace prefscore {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
inline constexpr const char* kLogLevelNames[] = {"debug", "info", "warning", "error"};  // as LogLevel

enum class LogFormat { kText, kJson };
inline constexpr const char* kLogFormatNames[] = {"text", "json"};  // as LogFormat

// A name with its value. Names end in their unit, such as queue_us.
struct LogField {
  LogField(std::string name, std::string value) : name(std::move(name)), value(std::move(value)) {}
  LogField(std::string name, std::integral auto value) : name(std::move(name)), value(std::int64_t{value}) {}

  std::string name;
  std::variant<std::string, std::int64_t> value;
};
using LogFields = std::vector<LogField>;

// With the line's end. The time is written in UTC (RFC 3339), with milliseconds.
//   text: 2026-11-30T22:25:52.123Z info listening on 127.0.0.1:50051 name=value other="a b"
//   JSON: {"time":"2026-11-30T22:25:52.123Z","level":"info","message":"listening on ...","name":"value"}
std::string LogLine(LogFormat format, absl::Time time, LogLevel level, std::string_view message,
                    const LogFields& fields);

}  // namespace prefscore
