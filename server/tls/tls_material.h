// SPDX-License-Identifier: Apache-2.0
// What a listener proves itself with: a certificate, its key, and whose clients it takes. Parsed and checked.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace prefscore {

struct TlsFiles {
  std::string certificate = "";  // empty: no TLS
  std::string key = "";
  std::string client_ca = "";  // empty: clients need no certificate
};

struct TlsPem {
  std::string certificates;  // the listener's own certificate first, then those that lead to its authority
  std::string key;           // not encrypted
  std::string client_ca;     // clients must show a certificate that leads to one of these; empty: they need none

  bool operator==(const TlsPem&) const = default;
};

// Immutable once parsed.
struct TlsMaterial {
  TlsPem pem;
  std::shared_ptr<SSL_CTX> context;  // a server's, with all of the above in it; TLS 1.2 or newer
  absl::Time expires_at;             // when the first of `certificates` ends, of those that had not at the start
  std::string warning;               // for the operator; empty: there is nothing to say
};

// `pem` is what `files` hold. INVALID_ARGUMENT where it cannot be served at the time `now`; the message names flag, file
// and fault.
absl::StatusOr<std::shared_ptr<const TlsMaterial>> ParseTlsMaterial(TlsPem pem, const TlsFiles& files, absl::Time now);

// "--tls-key 'key.pem': what", as INVALID_ARGUMENT.
absl::Status TlsFileError(const std::string& flag, const std::string& path, const std::string& what);

// As an operator reads it: "2027-01-15 08:00:00 UTC".
std::string DateText(absl::Time time);

}  // namespace prefscore
