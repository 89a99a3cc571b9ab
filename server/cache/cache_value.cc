// SPDX-License-Identifier: Apache-2.0
//   version (1 byte) | greedy match (1 byte, 0 or 1) | log-probs (8 bytes each, IEEE 754, little endian) |
//   checksum (16 bytes)
// The checksum is the first half of SHA-256(key | all before it): bytes that belong to another key do not verify.
#include "server/cache/cache_value.h"

#include <bit>
#include <cstring>

namespace prefscore {
namespace {

static_assert(std::endian::native == std::endian::little, "values hold numbers as they are in memory");

constexpr char kVersion = 2;
constexpr std::size_t kHeaderBytes = 2;
constexpr std::size_t kChecksumBytes = 16;

std::string ChecksumOf(const CacheKey& key, std::string_view body) {
  std::string text(reinterpret_cast<const char*>(key.data()), key.size());
  text.append(body);
  const Sha256Digest digest = Sha256(text);
  return std::string(reinterpret_cast<const char*>(digest.data()), kChecksumBytes);
}

}  // namespace

std::string EncodeLogProbs(const CacheKey& key, const CompletionLogProbs& logps) {
  std::string bytes(1, kVersion);
  bytes.push_back(logps.is_greedy_match ? 1 : 0);
  bytes.append(reinterpret_cast<const char*>(logps.token_logps.data()), logps.token_logps.size() * sizeof(double));
  bytes.append(ChecksumOf(key, bytes));
  return bytes;
}

std::optional<CompletionLogProbs> DecodeLogProbs(const CacheKey& key, std::string_view bytes) {
  if (bytes.size() < kHeaderBytes + kChecksumBytes || bytes[0] != kVersion) return std::nullopt;
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  const std::size_t num_logp_bytes = body.size() - kHeaderBytes;
  if (num_logp_bytes % sizeof(double) != 0) return std::nullopt;
  if (bytes.substr(body.size()) != ChecksumOf(key, body)) return std::nullopt;
  CompletionLogProbs logps{.token_logps = std::vector<double>(num_logp_bytes / sizeof(double)),
                           .is_greedy_match = body[1] != 0};
  if (num_logp_bytes > 0) std::memcpy(logps.token_logps.data(), body.data() + kHeaderBytes, num_logp_bytes);
  return logps;
}

}  // namespace prefscore
