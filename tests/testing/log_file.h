// SPDX-License-Identifier: Apache-2.0
// A file that a test's logger writes to.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "server/logging/logger.h"
#include "tests/testing/temp_folder.h"

namespace prefscore::testing {

class LogFile {
 public:
  LogFile() : descriptor_(open(path().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600)) {}
  ~LogFile() { close(descriptor_); }

  // For a logger that this outlives, in text, from debug on.
  LoggerOptions options() const {
    LoggerOptions options;
    options.level = LogLevel::kDebug;
    options.descriptor = descriptor_;
    return options;
  }

  // What is written so far; the logger's thread writes a moment after it is told.
  std::vector<std::string> Lines() const {
    std::ifstream file(path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }

 private:
  std::string path() const { return (folder_.path() / "log.txt").string(); }

  const TempFolder folder_;
  const int descriptor_;
};

}  // namespace prefscore::testing
