// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace prefscore {

// Index into a model's vocabulary, in [0, vocab_size).
using TokenId = std::uint32_t;
using TokenIds = std::vector<TokenId>;

}  // namespace prefscore
