// SPDX-License-Identifier: Apache-2.0
// What a completion's log-probs depend on, in one SHA-256: content only, so that all calls, datasets and epochs share
// what was computed once.
#pragma once

#include <string_view>

#include "server/util/sha256.h"
#include "server/util/token.h"

namespace prefscore {

using CacheKey = Sha256Digest;

// Whose log-probs they are. Equal identities promise equal bits.
struct ModelIdentity {
  std::string_view digest;         // of weights and configuration
  std::string_view numerics_mode;  // names the arithmetic
  std::string_view dtype;
};

// The key of log p(completion | prompt).
CacheKey MakeCacheKey(const ModelIdentity& model, const TokenIds& prompt, const TokenIds& completion);

}  // namespace prefscore
