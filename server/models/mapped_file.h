// SPDX-License-Identifier: Apache-2.0
// A file's bytes, mapped read-only: pages come in on first touch and are shared between processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

#include "absl/status/statusor.h"

struct stat;

namespace prefscore {

// Thread-safe to read. Someone who truncates the file while it is mapped makes later reads fault (SIGBUS): model
// folders are replaced by renaming, never rewritten in place. So mappings live only while a model is loaded.
class MappedFile {
 public:
  // NOT_FOUND where there is no such file, INVALID_ARGUMENT where it is not a regular file.
  static absl::StatusOr<MappedFile> Open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

  // FAILED_PRECONDITION where what lies at the path is not the file as it was opened.
  absl::Status CheckUnchanged() const;

 private:
  // What tells one version of a file from another.
  struct Version {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t num_bytes = 0;
    std::int64_t modified_ns = 0;  // since the epoch

    static Version Of(const struct stat& info);
    friend bool operator==(const Version&, const Version&) = default;
  };

  MappedFile(std::filesystem::path path, const Version& version, std::span<const std::byte> bytes)
      : path_(std::move(path)), version_(version), bytes_(bytes) {}

  std::filesystem::path path_;
  Version version_;
  std::span<const std::byte> bytes_;
};

}  // namespace prefscore
