// SPDX-License-Identifier: Apache-2.0
#include "server/logging/line_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace prefscore {

bool LineWriter::Write(std::string_view line) {
  if (is_within_line_ && !WriteBytes("\n")) return false;
  return WriteBytes(line);
}

bool LineWriter::WriteBytes(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!WaitForRoom()) return false;
    // A pipe with room takes this much without blocking.
    const ssize_t num_written = write(descriptor_, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
    if (num_written < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return false;  // the disk is full, the reader gone
    }
    if (num_written == 0) continue;
    bytes.remove_prefix(static_cast<std::size_t>(num_written));
    is_within_line_ = !bytes.empty();
  }
  return true;
}

bool LineWriter::WaitForRoom() {
  pollfd waited = {.fd = descriptor_, .events = POLLOUT, .revents = 0};
  int num_ready = 0;
  do {
    num_ready = poll(&waited, 1, is_stuck_ ? 0 : static_cast<int>(patience_.count()));
  } while (num_ready < 0 && errno == EINTR);
  is_stuck_ = num_ready == 0;
  return num_ready > 0;
}

}  // namespace prefscore
