// SPDX-License-Identifier: Apache-2.0
// What stands in the cache's files: damaged bytes are no value, whole ones come back bit by bit.
#include <cstring>
#include <string>

#include "server/cache/cache_value.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const CacheKey key = MakeCacheKey({"digest", "mode", "float32"}, {1, 2}, {3});
  const std::string_view input = Text(data, size);
  DecodeLogProbs(key, input);  // the fuzzer sees what checksums are compared with, and so finds the right one

  CompletionLogProbs logps;
  logps.token_logps.resize(size / sizeof(double));
  if (!logps.token_logps.empty()) {
    std::memcpy(logps.token_logps.data(), data, logps.token_logps.size() * sizeof(double));
  }
  logps.is_greedy_match = size % 2 == 1;
  std::string bytes = EncodeLogProbs(key, logps);
  const auto decoded = DecodeLogProbs(key, bytes);
  FUZZ_CHECK(decoded.has_value(), "what was encoded is not decoded");
  FUZZ_CHECK(EncodeLogProbs(key, *decoded) == bytes, "what was decoded is not what was encoded");
  if (size < 2) return 0;
  const std::size_t position = (data[0] << 8 | data[1]) % bytes.size();
  bytes[position] = static_cast<char>(bytes[position] ^ (1 << size % 8));
  FUZZ_CHECK(!DecodeLogProbs(key, bytes).has_value(), "a value with one wrong bit is taken");
  return 0;
}

}  // namespace prefscore::fuzz
