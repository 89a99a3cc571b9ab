// SPDX-License-Identifier: Apache-2.0
#include "server/util/file_stamp.h"

namespace prefscore {
namespace {

std::int64_t Nanoseconds(const timespec& time) { return std::int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec; }

}  // namespace

FileStamp StampOf(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? StampOf(info) : FileStamp();
}

FileStamp StampOf(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size_bytes = info.st_size,
          .modified_ns = Nanoseconds(info.st_mtim),
          .changed_ns = Nanoseconds(info.st_ctim)};
}

}  // namespace prefscore
