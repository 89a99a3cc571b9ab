// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace prefscore {

// N of "cuda:N", written as std::to_string does it: one device has one name. Nothing for any other name.
inline std::optional<int> CudaIndexOf(std::string_view device) {
  constexpr std::string_view kPrefix = "cuda:";
  if (!device.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = device.substr(kPrefix.size());
  int index = -1;
  std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (index < 0 || digits != std::to_string(index)) return std::nullopt;
  return index;
}

}  // namespace prefscore
