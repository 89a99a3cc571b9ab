// SPDX-License-Identifier: Apache-2.0
#include "server/cache/cache_value.h"

#include <gtest/gtest.h>

namespace prefscore {
namespace {

// What deploy/OPERATIONS.md plans the cache's disk with.
TEST(CacheValueTest, HasFiftyBytesWithItsKeyAndEightForEachToken) {
  for (const int num_tokens : {0, 1, 300}) {
    const CompletionLogProbs logps{.token_logps = std::vector<double>(num_tokens, -1.5)};
    EXPECT_EQ(sizeof(CacheKey) + EncodeLogProbs(CacheKey{}, logps).size(), 50 + 8 * num_tokens);
  }
}

}  // namespace
}  // namespace prefscore
