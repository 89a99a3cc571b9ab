// SPDX-License-Identifier: Apache-2.0
// What the groups of options share: errors that name the flag, the value and the limit.
#pragma once

#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace prefscore {

// INVALID_ARGUMENT. `flag` is as it is typed, with its dashes.
absl::Status FlagError(const std::string& flag, const std::string& description);

absl::Status CheckOneOf(const std::string& flag, const std::string& value, std::initializer_list<const char*> known);

// Whether `address` is HOST:PORT. Whether it can be bound shows when it is.
absl::Status CheckAddress(const std::string& flag, const std::string& address);

// Whether `value` is in [min, max]; NaN is not.
template <typename Number>
absl::Status CheckRange(const std::string& flag, Number value, Number min, Number max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return FlagError(flag, absl::StrCat(value, " is outside [", min, ", ", max, "]"));
}

}  // namespace prefscore
