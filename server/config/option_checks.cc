// SPDX-License-Identifier: Apache-2.0
#include "server/config/option_checks.h"

#include <algorithm>

#include "server/util/host_port.h"

namespace prefscore {

absl::Status FlagError(const std::string& flag, const std::string& description) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", description));
}

absl::Status CheckOneOf(const std::string& flag, const std::string& value, std::initializer_list<const char*> known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return absl::OkStatus();
  std::string list;
  for (const char* name : known) absl::StrAppend(&list, list.empty() ? "" : ", ", name);
  return FlagError(flag, absl::StrCat("'", value, "' is not one of: ", list));
}

absl::Status CheckAddress(const std::string& flag, const std::string& address) {
  if (!ParseHostPort(address).has_value()) {
    return FlagError(flag, absl::StrCat("'", address, "' is not HOST:PORT with a port in [0, 65535]"));
  }
  return absl::OkStatus();
}

}  // namespace prefscore
