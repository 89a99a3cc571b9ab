// SPDX-License-Identifier: Apache-2.0
// A file that one holder at a time has locked; the system unlocks it when the holder's process ends, however it ends.
#pragma once

#include <filesystem>
#include <utility>

#include "absl/status/statusor.h"

namespace prefscore {

class FileLock {
 public:
  // FAILED_PRECONDITION: somebody holds it. UNAVAILABLE: the file cannot be made or locked.
  static absl::StatusOr<FileLock> Acquire(const std::filesystem::path& path);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace prefscore
