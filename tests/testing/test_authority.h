// SPDX-License-Identifier: Apache-2.0
// A certificate authority for tests: makes keys and certificates for 127.0.0.1.
#pragma once

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace prefscore::testing {

struct IssuedCertificate {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

class TestAuthority {
 public:
  TestAuthority() : key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
    X509_NAME* const name = X509_get_subject_name(certificate_);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("authority"), -1, -1, 0);
    Complete(certificate_, key_, "CA:TRUE", absl::UnixEpoch(), absl::FromUnixSeconds(4'000'000'000));
  }
  TestAuthority(const TestAuthority&) = delete;
  ~TestAuthority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }

  std::string certificate() const { return Pem(certificate_); }

  IssuedCertificate Issue(absl::Time not_before, absl::Time not_after) const {
    X509* const certificate = X509_new();
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509_NAME* const name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("issued"), -1, -1, 0);
    Complete(certificate, key, "CA:FALSE", not_before, not_after);
    IssuedCertificate issued{Pem(certificate), KeyPem(key)};
    X509_free(certificate);
    EVP_PKEY_free(key);
    return issued;
  }

 private:
  void Complete(X509* certificate, EVP_PKEY* key, const char* constraints, absl::Time not_before,
                absl::Time not_after) const {
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_set_pubkey(certificate, key);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate_));
    ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(not_before));
    ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(not_after));
    AddExtension(certificate, NID_basic_constraints, constraints);
    AddExtension(certificate, NID_subject_alt_name, "IP:127.0.0.1");
    ASSERT_NE(X509_sign(certificate, key_, EVP_sha256()), 0);
  }

  static void AddExtension(X509* certificate, int nid, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    ASSERT_NE(extension, nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  static std::string TextOf(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text(data, size);
    BIO_free(bio);
    return text;
  }

  static std::string Pem(X509* certificate) {
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    return TextOf(bio);
  }

  static std::string KeyPem(EVP_PKEY* key) {
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    return TextOf(bio);
  }

  EVP_PKEY* const key_;
  X509* const certificate_;
  mutable long serial_ = 0;
};

}  // namespace prefscore::testing
