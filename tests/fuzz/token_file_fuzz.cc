// SPDX-License-Identifier: Apache-2.0
// The file that says whose tokens are accepted: refused with a message, or read to entries within
// the limits.
#include <set>
#include <string>

#include "server/access/token_file.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {
namespace {

void CheckEntry(const TokenEntry& entry, std::set<std::string>& names) {
  FUZZ_CHECK(!entry.name.empty() && entry.name.size() <= kMaxTokenNameBytes, entry.name);
  FUZZ_CHECK(names.insert(entry.name).second, entry.name);
  FUZZ_CHECK(entry.roles.any(), entry.name);
  const QuotaLimits& quota = entry.quota;
  FUZZ_CHECK(!quota.tokens_per_second || *quota.tokens_per_second > 0, entry.name);
  FUZZ_CHECK(!quota.tokens_per_second || quota.burst_tokens > 0, entry.name);
  FUZZ_CHECK(!quota.concurrent_tokens || *quota.concurrent_tokens > 0, entry.name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(Text(data, size));
  const auto entries = ParseTokenFile("tokens.toml", text);
  CheckIsRefusal(entries.status());
  if (!entries.ok()) return 0;
  FUZZ_CHECK(entries->size() <= kMaxTokens, std::to_string(entries->size()));
  std::set<std::string> names;
  for (const TokenEntry& entry : *entries) CheckEntry(entry, names);
  return 0;
}

}  // namespace prefscore::fuzz
