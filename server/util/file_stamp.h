// SPDX-License-Identifier: Apache-2.0
// Tells whether a file was replaced or written since it was last looked at.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

namespace prefscore {

// Two stamps of a path differ where another file is there now, or the file was written in between.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size_bytes = -1;  // -1: there is no file
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;  // also where a tool sets the time of the modification back

  bool operator==(const FileStamp&) const = default;
};

// Follows symbolic links: that is how Kubernetes replaces mounted secrets.
FileStamp StampOf(const std::string& path);
// Of a file that is open.
FileStamp StampOf(const struct stat& info);

}  // namespace prefscore
