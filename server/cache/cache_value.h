// SPDX-License-Identifier: Apache-2.0
// Log-probs as the cache keeps them: bit-exact, with a checksum that ties them to their key.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/cache/cache_key.h"
#include "server/util/completion_log_probs.h"

namespace prefscore {

std::string EncodeLogProbs(const CacheKey& key, const CompletionLogProbs& logps);

// Nothing where the bytes are not what EncodeLogProbs made for this key: damaged, of another key or another version.
std::optional<CompletionLogProbs> DecodeLogProbs(const CacheKey& key, std::string_view bytes);

}  // namespace prefscore
