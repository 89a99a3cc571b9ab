// SPDX-License-Identifier: Apache-2.0
// A file's bytes, mapped read-only: pages come in on first touch and are shared between processes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "absl/status/statusor.h"

namespace prefscore {

// Thread-safe to read. Someone who truncates the file while it is mapped makes later reads fault (SIGBUS): model
// folders are replaced by renaming, never rewritten in place.
class MappedFile {
 public:
  // NOT_FOUND where there is no such file, INVALID_ARGUMENT where it is not a regular file.
  static absl::StatusOr<MappedFile> Open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

  // Gives the memory of the pages back; they come in again on the next touch.
  void DropPages() const;

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace prefscore
