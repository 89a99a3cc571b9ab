// SPDX-License-Identifier: Apache-2.0
#include "server/tls/tls_material.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

template <auto free>
struct Deleter {
  template <typename T>
  void operator()(T* pointer) const {
    free(pointer);
  }
};
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;

// Where a text came from.
struct Source {
  const char* flag;
  const std::string& path;

  absl::Status Error(const std::string& what) const { return TlsFileError(flag, path, what); }
};

// What OpenSSL says is wrong, and forgets.
std::string OpenSslError() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "no reason is known" : reason;
}

BioPtr BioOf(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// Never asks a terminal for a passphrase, as OpenSSL does by default.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<std::vector<CertificatePtr>> ParseCertificates(const Source& source, const std::string& pem) {
  std::vector<CertificatePtr> certificates;
  const BioPtr bio = BioOf(pem);
  while (X509* const certificate = PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr)) {
    certificates.emplace_back(certificate);
  }
  const unsigned long error = ERR_peek_last_error();
  const bool is_at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  const std::string reason = OpenSslError();
  if (certificates.empty()) return source.Error(absl::StrCat("holds no PEM certificate (", reason, ")"));
  if (!is_at_end) {
    return source.Error(absl::StrCat("certificate ", certificates.size() + 1, " is broken (", reason, ")"));
  }
  return certificates;
}

absl::StatusOr<KeyPtr> ParseKey(const Source& source, const std::string& pem) {
  KeyPtr key(PEM_read_bio_PrivateKey(BioOf(pem).get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return source.Error(absl::StrCat("holds no PEM private key, or an encrypted one (", OpenSslError(), ")"));
  }
  return key;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm fields = {};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTM(fields, absl::UTCTimeZone());
}

// What is wrong with its time; empty: nothing.
std::string TimeFault(const X509* certificate, absl::Time now) {
  const absl::Time starts_at = TimeOf(X509_get0_notBefore(certificate));
  const absl::Time ends_at = TimeOf(X509_get0_notAfter(certificate));
  if (now < starts_at) return absl::StrCat("is not valid before ", DateText(starts_at));
  return now >= ends_at ? absl::StrCat("expired at ", DateText(ends_at)) : "";
}

// Of the certificates that lead to an authority. One too many is no fault: clients may know another way.
std::string ChainWarning(const Source& source, const std::vector<CertificatePtr>& certificates, absl::Time now) {
  std::string warning;
  for (std::size_t i = 1; i < certificates.size(); ++i) {
    const std::string fault = TimeFault(certificates[i].get(), now);
    if (fault.empty()) continue;
    absl::StrAppend(&warning, warning.empty() ? absl::StrCat(source.flag, " '", source.path, "': ") : "; ",
                    "certificate ", i + 1, " ", fault, ", and is sent all the same");
  }
  return warning;
}

absl::Status UseOwnCertificate(SSL_CTX* context, const Source& certificate_source,
                               const std::vector<CertificatePtr>& certificates, const Source& key_source,
                               EVP_PKEY* key) {
  if (SSL_CTX_use_certificate(context, certificates.front().get()) != 1) {
    return certificate_source.Error(absl::StrCat("cannot be used (", OpenSslError(), ")"));
  }
  if (X509_check_private_key(certificates.front().get(), key) != 1) {
    ERR_clear_error();
    return key_source.Error("is not the key of the certificate of --tls-certificate");
  }
  if (SSL_CTX_use_PrivateKey(context, key) != 1) {
    return key_source.Error(absl::StrCat("cannot be used (", OpenSslError(), ")"));
  }
  for (std::size_t i = 1; i < certificates.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, certificates[i].get()) != 1) {
      return certificate_source.Error(absl::StrCat("certificate ", i + 1, " cannot be used (", OpenSslError(), ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status RequireClientCertificates(SSL_CTX* context, const Source& source, const std::string& client_ca) {
  ASSIGN_OR_RETURN(const std::vector<CertificatePtr> authorities, ParseCertificates(source, client_ca));
  for (const CertificatePtr& authority : authorities) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1) {
      return source.Error(absl::StrCat("cannot be used (", OpenSslError(), ")"));
    }
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return absl::OkStatus();
}

}  // namespace

absl::Status TlsFileError(const std::string& flag, const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(flag, " '", path, "': ", what));
}

std::string DateText(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone()); }

absl::StatusOr<std::shared_ptr<const TlsMaterial>> ParseTlsMaterial(TlsPem pem, const TlsFiles& files, absl::Time now) {
  const Source certificate_source{"--tls-certificate", files.certificate};
  const Source key_source{"--tls-key", files.key};
  ERR_clear_error();
  ASSIGN_OR_RETURN(const std::vector<CertificatePtr> certificates,
                   ParseCertificates(certificate_source, pem.certificates));
  ASSIGN_OR_RETURN(const KeyPtr key, ParseKey(key_source, pem.key));
  if (const std::string fault = TimeFault(certificates.front().get(), now); !fault.empty()) {
    return certificate_source.Error(fault);
  }
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // A resumed session would keep the certificate that it began with.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
  // Scrapes write as much as fits, and the rest from another place.
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  RETURN_IF_ERROR(UseOwnCertificate(context.get(), certificate_source, certificates, key_source, key.get()));
  if (!pem.client_ca.empty()) {
    RETURN_IF_ERROR(RequireClientCertificates(context.get(), {"--tls-client-ca", files.client_ca}, pem.client_ca));
  }

  absl::Time expires_at = absl::InfiniteFuture();
  for (const CertificatePtr& certificate : certificates) {
    const absl::Time ends_at = TimeOf(X509_get0_notAfter(certificate.get()));
    if (ends_at > now) expires_at = std::min(expires_at, ends_at);
  }
  return std::make_shared<const TlsMaterial>(
      TlsMaterial{std::move(pem), context, expires_at, ChainWarning(certificate_source, certificates, now)});
}

}  // namespace prefscore
