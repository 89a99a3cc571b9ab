// SPDX-License-Identifier: Apache-2.0
// A number of a flag.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <system_error>

namespace prefscore::cli {

// Nothing where the text is not one number, whole. "inf" and "nan" are numbers.
inline std::optional<double> ParseNumber(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace prefscore::cli
