// SPDX-License-Identifier: Apache-2.0
// A folder that a test has for itself and that goes with it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace prefscore::testing {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "prefscore-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace prefscore::testing
