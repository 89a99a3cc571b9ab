// SPDX-License-Identifier: Apache-2.0
// Writes small model folders for tests, right ones and wrong ones.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace prefscore::testing {

struct TensorToWrite {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string bytes;
  std::string dtype = "F32";
};

inline std::string FloatBytes(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// A whole safetensors file from a header and the bytes after it. Nothing is checked.
inline std::string SafetensorsFile(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  const std::uint64_t header_bytes = header.size();
  for (int i = 0; i < 8; ++i) file[i] = static_cast<char>(header_bytes >> (8 * i) & 0xff);
  return file + header + data;
}

// A right one.
inline std::string SafetensorsFile(const std::vector<TensorToWrite>& tensors) {
  std::vector<std::string> entries = {R"("__metadata__":{"format":"pt"})"};
  std::string data;
  for (const TensorToWrite& tensor : tensors) {
    entries.push_back(absl::StrCat("\"", tensor.name, "\":{\"dtype\":\"", tensor.dtype, "\",\"shape\":[",
                                   absl::StrJoin(tensor.shape, ","), "],\"data_offsets\":[", data.size(), ",",
                                   data.size() + tensor.bytes.size(), "]}"));
    data += tensor.bytes;
  }
  return SafetensorsFile(absl::StrCat("{", absl::StrJoin(entries, ","), "}"), data);
}

inline void WriteFile(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
}

// A new empty folder, removed with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "prefscore-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace prefscore::testing
