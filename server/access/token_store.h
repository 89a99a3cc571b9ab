// SPDX-License-Identifier: Apache-2.0
// The tokens in force: who a call's token belongs to and whether it may do what it asks. Follows its file.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/access/observer.h"
#include "server/access/quota.h"
#include "server/access/role.h"
#include "server/access/token_entry.h"
#include "server/util/file_stamp.h"

namespace prefscore {

// A token as calls hold it.
struct Token {
  TokenEntry entry;
  std::shared_ptr<Quota> quota;  // the same one across reloads, by the token's name
};
using TokenPtr = std::shared_ptr<const Token>;

// What became of the file.
struct TokenFileState {
  std::string path;
  std::size_t num_tokens = 0;  // in force
  absl::Time loaded;           // when those were read
  std::string fault;           // of the last attempt to read it; empty: none
};

// Index of `digest` among `digests`, or their number where it is none of them. Looks at all bytes of all of them, so
// that the time it takes tells nothing of how close a guess was. `compare` is memcmp's contract in constant time.
std::size_t FindDigest(std::span<const Sha256Digest> digests, const Sha256Digest& digest,
                       int (*compare)(const void*, const void*, std::size_t));

// Thread-safe.
class TokenStore {
 public:
  // INVALID_ARGUMENT as ReadTokenFile.
  static absl::StatusOr<std::unique_ptr<TokenStore>> Load(const std::string& path, AccessObserver observer,
                                                          std::function<absl::Time()> now = absl::Now);

  // `authorizations` are the headers "authorization" of a call: one, "Bearer TOKEN". UNAUTHENTICATED where it is absent,
  // there twice, another kind, unknown or expired; PERMISSION_DENIED where the token lacks the role.
  absl::StatusOr<TokenPtr> Authorize(std::span<const std::string_view> authorizations, Role role) const;

  // Whether a token that was let in still would be: for streams, which live long. Errors as of Authorize.
  absl::Status Recheck(const Token& token, Role role) const;

  // Reads the file. Where that fails, what is in force stays so; the observer is told of each fault once.
  absl::Status Reload();
  // Reloads where the file is another than when it was last read, or could not be read then: a fault may pass and leave
  // no trace on the file. Call it every few seconds.
  void ReloadIfChanged();

  TokenFileState State() const;

 private:
  using Tokens = std::vector<TokenPtr>;

  TokenStore(std::string path, AccessObserver observer, std::function<absl::Time()> now);
  absl::Status Refuse(AccessRefusal reason, absl::Status status) const;
  absl::Status CheckEntry(const TokenEntry& entry, Role role) const;
  absl::Status Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(reload_mutex_);
  void Replace(std::vector<TokenEntry> entries) ABSL_EXCLUSIVE_LOCKS_REQUIRED(reload_mutex_);

  const std::string path_;
  const AccessObserver observer_;
  const std::function<absl::Time()> now_;

  absl::Mutex reload_mutex_;  // one reload at a time; taken before mutex_
  std::optional<FileStamp> stamp_ ABSL_GUARDED_BY(reload_mutex_);  // of what is in force; none: the last read failed

  mutable absl::Mutex mutex_;
  std::shared_ptr<const Tokens> tokens_ ABSL_GUARDED_BY(mutex_) = std::make_shared<const Tokens>();
  std::shared_ptr<const std::vector<Sha256Digest>> digests_ ABSL_GUARDED_BY(mutex_);  // [tokens]
  absl::Time loaded_ ABSL_GUARDED_BY(mutex_);
  std::string fault_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace prefscore
