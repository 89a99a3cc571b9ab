// SPDX-License-Identifier: Apache-2.0
#include "server/util/sha256.h"

#include <openssl/evp.h>

namespace prefscore {

Sha256Digest Sha256(std::string_view bytes) {
  // Fetched once: finding the algorithm takes longer than hashing a pair. Never freed, so safe at exit.
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Sha256Digest digest;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, algorithm, nullptr);
  return digest;
}

}  // namespace prefscore
