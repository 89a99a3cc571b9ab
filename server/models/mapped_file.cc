// SPDX-License-Identifier: Apache-2.0
#include "server/models/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace prefscore {

absl::StatusOr<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    return absl::ErrnoToStatus(error, absl::StrCat("cannot open ", path.string()));
  }
  const absl::Cleanup close_descriptor = [descriptor] { close(descriptor); };  // a mapping outlives its descriptor

  struct stat info;
  if (fstat(descriptor, &info) != 0) {
    const int error = errno;
    return absl::ErrnoToStatus(error, absl::StrCat("cannot stat ", path.string()));
  }
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path.string(), " is not a regular file"));
  if (info.st_size == 0) return MappedFile(path, Version::Of(info), {});

  void* address = mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (address == MAP_FAILED) {
    const int error = errno;
    return absl::ErrnoToStatus(error, absl::StrCat("cannot map ", path.string()));
  }
  madvise(address, info.st_size, MADV_WILLNEED);  // only a hint: its failure costs time, not correctness
  return MappedFile(path, Version::Of(info),
                    {static_cast<const std::byte*>(address), static_cast<std::size_t>(info.st_size)});
}

MappedFile::Version MappedFile::Version::Of(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .num_bytes = info.st_size,
          .modified_ns = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
}

absl::Status MappedFile::CheckUnchanged() const {
  struct stat info;
  if (stat(path_.c_str(), &info) == 0 && Version::Of(info) == version_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path_.string(), " was changed while it was being read; load it again once it is complete"));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), version_(other.version_), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(version_, other.version_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace prefscore
