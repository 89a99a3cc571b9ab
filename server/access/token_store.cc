// SPDX-License-Identifier: Apache-2.0
#include "server/access/token_store.h"

#include <openssl/crypto.h>

#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/access/token_file.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr char kHowTo[] = "send the metadata 'authorization: Bearer TOKEN', with a token of this server's token file";
constexpr std::string_view kScheme = "bearer ";  // in any case, by RFC 9110

std::string RolesOf(const TokenEntry& entry) {
  std::vector<const char*> names;
  for (std::size_t role = 0; role < kAccessRoleNames.size(); ++role) {
    if (entry.roles.test(role)) names.push_back(kAccessRoleNames[role]);
  }
  return absl::StrJoin(names, ", ");
}

// Nothing where the header is of another kind.
std::optional<std::string_view> BearerToken(std::string_view authorization) {
  if (authorization.size() <= kScheme.size()) return std::nullopt;
  for (std::size_t idx = 0; idx < kScheme.size(); ++idx) {
    if (absl::ascii_tolower(static_cast<unsigned char>(authorization[idx])) != kScheme[idx]) return std::nullopt;
  }
  authorization.remove_prefix(kScheme.size());
  while (!authorization.empty() && authorization.front() == ' ') authorization.remove_prefix(1);
  return authorization;
}

}  // namespace

std::size_t FindDigest(std::span<const Sha256Digest> digests, const Sha256Digest& digest,
                       int (*compare)(const void*, const void*, std::size_t)) {
  std::size_t found = digests.size();
  for (std::size_t idx = 0; idx < digests.size(); ++idx) {
    const bool is_equal = compare(digests[idx].data(), digest.data(), digest.size()) == 0;
    const std::size_t mask = std::size_t{0} - static_cast<std::size_t>(is_equal);  // all ones where equal
    found = (found & ~mask) | (idx & mask);
  }
  return found;
}

TokenStore::TokenStore(std::string path, AccessObserver observer, std::function<absl::Time()> now)
    : path_(std::move(path)), observer_(std::move(observer)), now_(std::move(now)) {}

absl::StatusOr<std::unique_ptr<TokenStore>> TokenStore::Load(const std::string& path, AccessObserver observer,
                                                             std::function<absl::Time()> now) {
  std::unique_ptr<TokenStore> store(new TokenStore(path, std::move(observer), std::move(now)));
  absl::MutexLock lock(&store->reload_mutex_);
  RETURN_IF_ERROR(store->Read());
  return store;
}

absl::Status TokenStore::Refuse(AccessRefusal reason, absl::Status status) const {
  observer_.on_refused(reason);
  return status;
}

absl::Status TokenStore::CheckEntry(const TokenEntry& entry, Role role) const {
  if (now_() >= entry.expiry) {
    return Refuse(AccessRefusal::kExpiredToken,
                  absl::UnauthenticatedError(absl::StrCat("the token '", entry.name, "' expired at ",
                                                          absl::FormatTime(absl::RFC3339_sec, entry.expiry,
                                                                           absl::UTCTimeZone()))));
  }
  if (!entry.Has(role)) {
    return Refuse(AccessRefusal::kMissingRole,
                  absl::PermissionDeniedError(absl::StrCat("this call needs the role '", RoleName(role),
                                                           "'; the token '", entry.name, "' has: ", RolesOf(entry))));
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenPtr> TokenStore::Authorize(std::span<const std::string_view> authorizations, Role role) const {
  if (authorizations.empty()) {
    return Refuse(AccessRefusal::kNoToken, absl::UnauthenticatedError(absl::StrCat("the call has no token; ", kHowTo)));
  }
  if (authorizations.size() > 1) {  // another server on the way may have checked another one than this would
    return Refuse(AccessRefusal::kNoToken,
                  absl::UnauthenticatedError(absl::StrCat("'authorization' was sent ", authorizations.size(),
                                                          " times; ", kHowTo, ", once")));
  }
  const auto presented = BearerToken(authorizations.front());
  if (!presented.has_value()) {
    return Refuse(AccessRefusal::kNoToken,
                  absl::UnauthenticatedError(absl::StrCat("'authorization' is no bearer token; ", kHowTo)));
  }
  std::shared_ptr<const Tokens> tokens;
  std::shared_ptr<const std::vector<Sha256Digest>> digests;
  {
    absl::MutexLock lock(&mutex_);
    tokens = tokens_;
    digests = digests_;
  }
  const std::size_t found = FindDigest(*digests, Sha256(*presented), CRYPTO_memcmp);
  if (found == digests->size()) {
    return Refuse(AccessRefusal::kUnknownToken,
                  absl::UnauthenticatedError(absl::StrCat("the token is not known here; ", kHowTo)));
  }
  const TokenPtr& token = (*tokens)[found];
  RETURN_IF_ERROR(CheckEntry(token->entry, role));
  observer_.on_let_in(token->entry.name);
  return token;
}

absl::Status TokenStore::Recheck(const Token& token, Role role) const {
  std::shared_ptr<const Tokens> tokens;
  {
    absl::MutexLock lock(&mutex_);
    tokens = tokens_;
  }
  for (const TokenPtr& other : *tokens) {
    if (other->entry.digest == token.entry.digest) return CheckEntry(other->entry, role);
  }
  return Refuse(AccessRefusal::kUnknownToken,
                absl::UnauthenticatedError(
                    absl::StrCat("the token '", token.entry.name, "' was taken out of this server's token file")));
}

void TokenStore::Replace(std::vector<TokenEntry> entries) {
  std::map<std::string, std::shared_ptr<Quota>> quotas;
  auto tokens = std::make_shared<Tokens>();
  auto digests = std::make_shared<std::vector<Sha256Digest>>();
  observer_.on_loaded(entries);
  absl::MutexLock lock(&mutex_);
  for (const TokenPtr& token : *tokens_) quotas[token->entry.name] = token->quota;
  for (TokenEntry& entry : entries) {
    std::shared_ptr<Quota>& quota = quotas[entry.name];
    if (quota == nullptr) {
      quota = std::make_shared<Quota>(entry.name, entry.quota, observer_, now_);
    } else {
      quota->SetLimits(entry.quota);
    }
    digests->push_back(entry.digest);
    tokens->push_back(std::make_shared<const Token>(Token{std::move(entry), quota}));
  }
  tokens_ = std::move(tokens);
  digests_ = std::move(digests);
  loaded_ = now_();
  fault_.clear();
}

absl::Status TokenStore::Read() {
  stamp_.reset();
  ASSIGN_OR_RETURN(TokenFile file, ReadTokenFile(path_));
  stamp_ = file.stamp;
  Replace(std::move(file.entries));
  if (!file.warning.empty()) observer_.on_warning(file.warning);
  return absl::OkStatus();
}

absl::Status TokenStore::Reload() {
  absl::MutexLock lock(&reload_mutex_);
  const absl::Status status = Read();
  if (status.ok()) {
    observer_.on_note(absl::StrCat("took ", State().num_tokens, " tokens from ", path_));
    return status;
  }
  const std::string fault(status.message());
  {
    absl::MutexLock state_lock(&mutex_);
    if (std::exchange(fault_, fault) == fault) return status;
  }
  observer_.on_reload_failed();
  observer_.on_warning(absl::StrCat("the tokens in force stay: ", fault));
  return status;
}

void TokenStore::ReloadIfChanged() {
  {
    absl::MutexLock lock(&reload_mutex_);
    if (stamp_ == StampOf(path_)) return;
  }
  Reload().IgnoreError();  // the observer was told
}

TokenFileState TokenStore::State() const {
  absl::MutexLock lock(&mutex_);
  return {.path = path_, .num_tokens = tokens_->size(), .loaded = loaded_, .fault = fault_};
}

}  // namespace prefscore
