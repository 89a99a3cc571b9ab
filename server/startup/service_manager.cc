// SPDX-License-Identifier: Apache-2.0
#include "server/startup/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace prefscore {

absl::Status TellServiceManager(std::string_view lines) {
  const char* const variable = std::getenv("NOTIFY_SOCKET");
  const std::string name = variable == nullptr ? "" : variable;
  if (name.empty()) return absl::OkStatus();
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if ((name[0] != '/' && name[0] != '@') || name.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("NOTIFY_SOCKET '", name, "' names no socket: neither a path nor ",
                                                   "@NAME of less than ", sizeof address.sun_path, " bytes"));
  }
  name.copy(address.sun_path, name.size());
  if (name[0] == '@') address.sun_path[0] = '\0';
  const int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  const bool is_sent = sender >= 0 && sendto(sender, lines.data(), lines.size(), MSG_NOSIGNAL,
                                             reinterpret_cast<const sockaddr*>(&address), length) >= 0;
  const int error = errno;
  if (sender >= 0) close(sender);
  return is_sent ? absl::OkStatus() : absl::ErrnoToStatus(error, absl::StrCat("NOTIFY_SOCKET '", name, "'"));
}

}  // namespace prefscore
