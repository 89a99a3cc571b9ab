// SPDX-License-Identifier: Apache-2.0
// prefscore token new: makes a token and its entry of a server's token file.
#pragma once

#include <string>
#include <vector>

#include "server/access/role.h"

namespace prefscore::cli {

struct TokenOptions {
  std::string name;
  std::vector<Role> roles;
  std::string output;  // a new file for the token; empty: it is shown on standard error
};

// The entry goes to standard output.
int RunNewToken(const TokenOptions& options);

}  // namespace prefscore::cli
