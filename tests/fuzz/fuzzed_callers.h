// SPDX-License-Identifier: Apache-2.0
// Who calls the fuzzed server: tokens of every kind, and none.
#pragma once

#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/access/role.h"

namespace prefscore::fuzz {

using CallMetadata = std::vector<std::pair<std::string, std::string>>;

enum class TokenKind { kKnown, kExpired, kUnknown, kTwice, kNone, kFromInput };

struct FuzzedCaller {
  const char* name;  // its token, too
  TokenKind kind;
  std::vector<Role> roles = {};  // where the token is known
  const char* quota = "";        // lines of the token file
};

extern const std::vector<FuzzedCaller> kCallers;

// The token file of the server.
std::string TokenFileText();

// OK where the caller may; of a token from the input nothing is known but that it is none of the file's.
grpc::StatusCode RefusalOf(const FuzzedCaller& caller, Role role);

// `header`: what stands in the headers that callers choose, as far as it is text that HTTP/2 carries.
CallMetadata MetadataOf(const FuzzedCaller& caller, std::string_view header);

}  // namespace prefscore::fuzz
