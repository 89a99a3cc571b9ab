// SPDX-License-Identifier: Apache-2.0
#include "server/logging/log_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

// What is not UTF-8 becomes U+FFFD.
std::string Quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

bool IsPrintable(char byte) { return byte >= ' ' && byte <= '~'; }

// As it is, unless a reader could take it for more than one value.
std::string Token(std::string_view text) {
  const bool is_plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char byte) {
    return IsPrintable(byte) && byte != ' ' && byte != '"' && byte != '=' && byte != '\\';
  });
  return is_plain ? std::string(text) : Quoted(text);
}

// A message is the server's own words and reads as such, unless it quotes a name that must be escaped.
std::string Sentence(std::string_view text) {
  return std::all_of(text.begin(), text.end(), IsPrintable) ? std::string(text) : Quoted(text);
}

std::string TimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", time, absl::UTCTimeZone()); }

std::string ValueText(const LogField& field, std::string (*text_of)(std::string_view)) {
  if (const auto* number = std::get_if<std::int64_t>(&field.value)) return absl::StrCat(*number);
  return text_of(std::get<std::string>(field.value));
}

}  // namespace

std::string LogLine(LogFormat format, absl::Time time, LogLevel level, std::string_view message,
                    const LogFields& fields) {
  const char* const level_name = kLogLevelNames[static_cast<std::size_t>(level)];
  std::string line;
  if (format == LogFormat::kText) {
    absl::StrAppend(&line, TimeText(time), " ", level_name, " ", Sentence(message));
    for (const LogField& field : fields) absl::StrAppend(&line, " ", Token(field.name), "=", ValueText(field, Token));
    return line + "\n";
  }
  absl::StrAppend(&line, "{\"time\":\"", TimeText(time), "\",\"level\":\"", level_name,
                  "\",\"message\":", Quoted(message));
  for (const LogField& field : fields) absl::StrAppend(&line, ",", Quoted(field.name), ":", ValueText(field, Quoted));
  return line + "}\n";
}

}  // namespace prefscore
