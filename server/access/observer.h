// SPDX-License-Identifier: Apache-2.0
// What the folder tells metrics and the log.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "server/access/token_entry.h"

namespace prefscore {

enum class AccessRefusal { kNoToken, kUnknownToken, kExpiredToken, kMissingRole };
inline constexpr std::array kAccessRefusalNames = {"no_token", "unknown_token", "expired_token", "missing_role"};

enum class QuotaRefusal { kTokensPerSecond, kConcurrentTokens };
inline constexpr std::array kQuotaRefusalNames = {"tokens_per_second", "concurrent_tokens"};

// Tokens are told by name. Called from any thread; must return at once.
struct AccessObserver {
  std::function<void(const std::vector<TokenEntry>&)> on_loaded = [](auto&) {};  // these are in force from now on
  std::function<void()> on_reload_failed = [] {};                                // what was in force stays so
  std::function<void(const std::string& token)> on_let_in = [](auto&) {};
  std::function<void(AccessRefusal)> on_refused = [](auto) {};
  std::function<void(const std::string& token, std::int64_t num_tokens)> on_charged = [](auto&, auto) {};
  std::function<void(const std::string& token, QuotaRefusal)> on_over_quota = [](auto&, auto) {};
  // Lines for the operator: what is as it should be, and what is not.
  std::function<void(const std::string&)> on_note = [](auto&) {};
  std::function<void(const std::string&)> on_warning = [](auto&) {};
};

}  // namespace prefscore
