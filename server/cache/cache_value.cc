// SPDX-License-Identifier: Apache-2.0
//   version (1 byte) | log-probs (8 bytes each, IEEE 754, little endian) | checksum (16 bytes)
// The checksum is the first half of SHA-256(key | version | log-probs): bytes that belong to another key do not verify.
#include "server/cache/cache_value.h"

#include <bit>
#include <cstring>

namespace prefscore {
namespace {

static_assert(std::endian::native == std::endian::little, "values hold numbers as they are in memory");

constexpr char kVersion = 1;
constexpr std::size_t kChecksumBytes = 16;

std::string ChecksumOf(const CacheKey& key, std::string_view body) {
  std::string text(reinterpret_cast<const char*>(key.data()), key.size());
  text.append(body);
  const Sha256Digest digest = Sha256(text);
  return std::string(reinterpret_cast<const char*>(digest.data()), kChecksumBytes);
}

}  // namespace

std::string EncodeLogProbs(const CacheKey& key, const std::vector<double>& token_logps) {
  std::string bytes(1, kVersion);
  bytes.append(reinterpret_cast<const char*>(token_logps.data()), token_logps.size() * sizeof(double));
  bytes.append(ChecksumOf(key, bytes));
  return bytes;
}

std::optional<std::vector<double>> DecodeLogProbs(const CacheKey& key, std::string_view bytes) {
  if (bytes.size() < 1 + kChecksumBytes || bytes[0] != kVersion) return std::nullopt;
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  const std::size_t num_logp_bytes = body.size() - 1;
  if (num_logp_bytes % sizeof(double) != 0) return std::nullopt;
  if (bytes.substr(body.size()) != ChecksumOf(key, body)) return std::nullopt;
  std::vector<double> token_logps(num_logp_bytes / sizeof(double));
  std::memcpy(token_logps.data(), body.data() + 1, num_logp_bytes);
  return token_logps;
}

}  // namespace prefscore
