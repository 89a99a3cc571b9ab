// SPDX-License-Identifier: Apache-2.0
#include "server/cache/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace prefscore {

absl::StatusOr<FileLock> FileLock::Acquire(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (fd < 0) return absl::UnavailableError(absl::StrCat("cannot open ", path.string(), ": ", strerror(errno)));
  FileLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) return absl::FailedPreconditionError("another server uses the folder");
  return absl::UnavailableError(absl::StrCat("cannot lock ", path.string(), ": ", strerror(errno)));
}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace prefscore
