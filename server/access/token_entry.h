// SPDX-License-Identifier: Apache-2.0
// One entry of a token file: who a token belongs to, and what it allows.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/access/role.h"
#include "server/util/sha256.h"

namespace prefscore {

// What a token's calls may make the models compute. Tokens are those of models: of a prompt and its completions, once
// per model that computes them.
struct QuotaLimits {
  std::optional<double> tokens_per_second = std::nullopt;         // over the long run; none: no limit
  double burst_tokens = 0;                                        // what may come at once after a pause
  std::optional<std::int64_t> concurrent_tokens = std::nullopt;  // of calls that are not yet answered; none: no limit

  bool operator==(const QuotaLimits&) const = default;
};

struct TokenEntry {
  std::string name;     // for people: in messages, logs and metrics
  Sha256Digest digest;  // of the token itself, which the server never stores
  std::bitset<kAccessRoleNames.size()> roles;
  QuotaLimits quota;
  absl::Time expiry = absl::InfiniteFuture();

  bool Has(Role role) const { return roles.test(static_cast<std::size_t>(role)); }
};

}  // namespace prefscore
