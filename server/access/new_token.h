// SPDX-License-Identifier: Apache-2.0
// Makes tokens, for `prefscore token new`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/access/role.h"

namespace prefscore {

// "prefscore_" and 256 random bits of the operating system in URL-safe base64: the prefix is for tools that look for
// secrets where none should be.
absl::StatusOr<std::string> NewToken();

// The lines of a token file (token_file.h) for this token.
std::string TokenFileEntry(const std::string& name, const std::vector<Role>& roles, std::string_view token);

}  // namespace prefscore
