// SPDX-License-Identifier: Apache-2.0
#include "server/cache/cache_key.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

#include "absl/strings/escaping.h"
#include "server/cache/cache_value.h"

namespace prefscore {
namespace {

TEST(CacheKeyTest, DiffersWhereAnythingDiffers) {
  const ModelIdentity model = {"digest", "mode", "float32"};
  const std::set<CacheKey> keys = {
      MakeCacheKey(model, {1, 2}, {3}),
      MakeCacheKey({"digesu", "mode", "float32"}, {1, 2}, {3}),
      MakeCacheKey({"digest", "mod", "efloat32"}, {1, 2}, {3}),
      MakeCacheKey({"digest", "mode", "bfloat16"}, {1, 2}, {3}),
      MakeCacheKey(model, {1}, {2, 3}),
      MakeCacheKey(model, {1, 2, 3}, {}),
      MakeCacheKey(model, {2, 1}, {3}),
      MakeCacheKey(model, {1, 2}, {4}),
      MakeCacheKey(model, {1, 2, 0}, {3}),
      MakeCacheKey(model, {1, 2}, {3, 0}),
  };
  EXPECT_EQ(keys.size(), 10u);
  EXPECT_TRUE(keys.count(MakeCacheKey({std::string("digest"), "mode", "float32"}, {1, 2}, {3})));
}

TEST(CacheKeyTest, IsStable) {
  // Stores outlive the program that wrote them. Worked out with Python's hashlib and struct from the layout in
  // cache_key.cc.
  const CacheKey key = MakeCacheKey({"d", "m", "float32"}, {1, 2}, {3});
  EXPECT_EQ(absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(key.data()), key.size())),
            "10f84b2b619374571156be69893050edcf87bac7ef6f16650cc843b1a7117483");
}

TEST(CacheValueTest, ReadsBackBitByBit) {
  const CacheKey key = MakeCacheKey({"d", "m", "float32"}, {1}, {2});
  const std::vector<double> logps = {-0.0, -1e-310, -123.45678901234567, -1e300};
  for (const bool is_greedy_match : {false, true}) {
    const auto found = DecodeLogProbs(key, EncodeLogProbs(key, {logps, is_greedy_match}));
    ASSERT_TRUE(found.has_value());
    ASSERT_EQ(found->token_logps.size(), logps.size());
    EXPECT_EQ(std::memcmp(found->token_logps.data(), logps.data(), logps.size() * sizeof(double)), 0);
    EXPECT_EQ(found->is_greedy_match, is_greedy_match);
  }
}

// Of an empty completion. There is nothing to copy, and a vector without elements may have no place to copy to: under
// UndefinedBehaviorSanitizer a memcpy to there ends this test.
TEST(CacheValueTest, ReadsBackNoLogProbsAtAll) {
  const CacheKey key = MakeCacheKey({"d", "m", "float32"}, {1}, {});
  for (const bool is_greedy_match : {false, true}) {
    const auto found = DecodeLogProbs(key, EncodeLogProbs(key, {{}, is_greedy_match}));
    ASSERT_TRUE(found.has_value());
    EXPECT_TRUE(found->token_logps.empty());
    EXPECT_EQ(found->is_greedy_match, is_greedy_match);
  }
}

TEST(CacheValueTest, NoDamageGoesUnnoticed) {
  const CacheKey key = MakeCacheKey({"d", "m", "float32"}, {1}, {2});
  const CacheKey other = MakeCacheKey({"d", "m", "float32"}, {1}, {3});
  const std::string bytes = EncodeLogProbs(key, {.token_logps = {-1.5, -2.5}, .is_greedy_match = true});
  EXPECT_FALSE(DecodeLogProbs(other, bytes).has_value()) << "the value of another key";
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_FALSE(DecodeLogProbs(key, damaged).has_value()) << "bit " << bit;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeLogProbs(key, bytes.substr(0, size)).has_value()) << size << " bytes";
  }
  EXPECT_FALSE(DecodeLogProbs(key, bytes + std::string(8, '\0')).has_value());
}

}  // namespace
}  // namespace prefscore
