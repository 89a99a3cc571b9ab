// SPDX-License-Identifier: Apache-2.0
// The file that says whose tokens are accepted. TOML, one table per token:
//
//   [[token]]
//   name = "trainer"
//   sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//   roles = ["score"]               # of: score, admin, metrics
//   tokens_per_second = 20000       # optional
//   burst_tokens = 100000           # optional, with tokens_per_second; default: those of 10 s
//   concurrent_tokens = 500000      # optional
//   expires = 2027-01-31T00:00:00Z  # optional; a date alone is its first moment, UTC
//
// Hashes are plain SHA-256. Slow hashes (bcrypt, argon2) protect what people choose and others can guess. A token is
// chosen by a machine, from 2^256 (new_token.h): nobody guesses it from its hash however fast that is, and a slow hash
// would be a way to keep the server busy with wrong tokens.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/access/token_entry.h"
#include "server/util/file_stamp.h"

namespace prefscore {

inline constexpr std::size_t kMaxTokenFileBytes = 1 << 20;
inline constexpr std::size_t kMaxTokens = 1000;
inline constexpr std::size_t kMaxTokenNameBytes = 64;

// INVALID_ARGUMENT names `path`, the entry, the field, the value and the limit; never more of a hash than its length.
absl::StatusOr<std::vector<TokenEntry>> ParseTokenFile(const std::string& path, const std::string& text);

struct TokenFile {
  std::vector<TokenEntry> entries;
  FileStamp stamp;      // taken before it was read: what was written meanwhile has another
  std::string warning;  // who else can write it, and so let themselves in; empty: nobody
};

// As above; also where the file cannot be read, is too large, or can be written by everybody.
absl::StatusOr<TokenFile> ReadTokenFile(const std::string& path);

}  // namespace prefscore
