// SPDX-License-Identifier: Apache-2.0
#include "server/access/new_token.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/util/sha256.h"

namespace prefscore {

absl::StatusOr<std::string> NewToken() {
  std::array<char, 32> bytes;
  // Blocks until the system has gathered enough; up to 256 bytes come whole.
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return absl::InternalError(absl::StrCat("the system gives no random numbers: ", std::strerror(errno)));
  }
  return absl::StrCat("prefscore_", absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size())));
}

std::string TokenFileEntry(const std::string& name, const std::vector<Role>& roles, std::string_view token) {
  const Sha256Digest digest = Sha256(token);
  const std::string hex =
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
  const std::string list = absl::StrJoin(
      roles, ", ", [](std::string* out, Role role) { absl::StrAppend(out, "\"", RoleName(role), "\""); });
  return absl::StrCat("[[token]]\nname = \"", name, "\"\nsha256 = \"", hex, "\"\nroles = [", list, "]\n");
}

}  // namespace prefscore
