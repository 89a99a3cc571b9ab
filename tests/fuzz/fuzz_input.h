// SPDX-License-Identifier: Apache-2.0
// What fuzz targets share: the input as text, its parts, files to read it from, and what a target says when a promise
// of the code does not hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <unistd.h>

#include "absl/status/status.h"

// Ends the run, as a crash does: libFuzzer keeps the input.
#define FUZZ_CHECK(condition, what)                                                              \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, std::string(what).c_str()); \
      std::abort();                                                                              \
    }                                                                                            \
  } while (false)

namespace prefscore::fuzz {

inline std::string_view Text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Cuts the front part off `rest`, up to a byte 0xff, which no JSON, template or UTF-8 text has.
inline std::string_view NextPart(std::string_view& rest) {
  const std::size_t end = rest.find('\xff');
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return part;
}

// Input that is wrong is the caller's fault, and is answered as such.
inline void CheckIsRefusal(const absl::Status& status) {
  const bool is_refusal = status.code() == absl::StatusCode::kInvalidArgument ||
                          status.code() == absl::StatusCode::kUnimplemented ||
                          status.code() == absl::StatusCode::kNotFound ||
                          status.code() == absl::StatusCode::kFailedPrecondition;
  FUZZ_CHECK(status.ok() || is_refusal, status.ToString());
  FUZZ_CHECK(status.ok() || !status.message().empty(), "an error without a message");
}

// As CheckIsRefusal; also a panic in the Rust crate, which its entry points catch and name, and a limit.
inline void CheckIsContained(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kResourceExhausted) return;
  CheckIsRefusal(status);
}

// A folder of this process, in memory where the system has such a place. Written anew for each input.
class InputFolder {
 public:
  InputFolder() {
    const std::filesystem::path shared_memory = "/dev/shm";
    const auto base = std::filesystem::exists(shared_memory) ? shared_memory : std::filesystem::temp_directory_path();
    path_ = base / ("prefscore_fuzz_" + std::to_string(getpid()));
    std::filesystem::create_directories(path_);
  }
  ~InputFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }

  void Write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace prefscore::fuzz
