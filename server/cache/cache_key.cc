// SPDX-License-Identifier: Apache-2.0
// Hashed: a tag, then each of digest, numerics mode, dtype, prompt and completion as its length (8 bytes, little
// endian) and its bytes (ids: 4 bytes each, little endian). Lengths come first, so no two inputs read the same.
#include "server/cache/cache_key.h"

#include <bit>
#include <cstdint>
#include <string>

namespace prefscore {
namespace {

static_assert(std::endian::native == std::endian::little, "keys hold numbers as they are in memory");

constexpr std::string_view kTag = "prefscore log-probs 2\n";

void Append(std::string& out, std::string_view bytes) {
  const std::uint64_t size = bytes.size();
  out.append(reinterpret_cast<const char*>(&size), sizeof(size));
  out.append(bytes);
}

void Append(std::string& out, const TokenIds& ids) {
  Append(out, std::string_view(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(TokenId)));
}

}  // namespace

CacheKey MakeCacheKey(const ModelIdentity& model, const TokenIds& prompt, const TokenIds& completion) {
  std::string text(kTag);
  text.reserve(256 + (prompt.size() + completion.size()) * sizeof(TokenId));
  Append(text, model.digest);
  Append(text, model.numerics_mode);
  Append(text, model.dtype);
  Append(text, prompt);
  Append(text, completion);
  return Sha256(text);
}

}  // namespace prefscore
