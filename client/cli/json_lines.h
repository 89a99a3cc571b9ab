// SPDX-License-Identifier: Apache-2.0
// JSON Lines in and out: rows of a file or of standard input, whole lines to a file or to standard output.
#pragma once

#include <cstdint>
#include <fstream>
#include <istream>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace prefscore::cli {

inline constexpr char kStandardStream[] = "-";  // as a path: standard input or output

struct Line {
  std::uint64_t number;  // in the file, from 1
  std::string text;      // not blank
};

// Reads the lines that are not blank. Not thread-safe.
class LineReader {
 public:
  static absl::StatusOr<std::unique_ptr<LineReader>> Open(const std::string& path);

  // Nothing at the end.
  std::optional<Line> Next();

 private:
  LineReader() = default;

  std::ifstream file_;
  std::istream* input_ = nullptr;
  std::uint64_t num_lines_ = 0;
};

// Lines that are not blank; nothing for standard input and for what is not a regular file.
std::optional<std::uint64_t> CountLines(const std::string& path);

// Parses a JSON object, key order kept. INVALID_ARGUMENT says where it breaks. Nesting is limited, so that a hostile
// row cannot exhaust the stack.
absl::StatusOr<nlohmann::ordered_json> ParseJsonObject(const std::string& text);

// Writes each line with one system call: a killed run leaves whole lines and at most one torn last line. A file is
// locked against a second writer. Not thread-safe.
class LineWriter {
 public:
  // Creates the file where it does not exist; keeps what it holds.
  static absl::StatusOr<std::unique_ptr<LineWriter>> Open(const std::string& path);
  ~LineWriter();

  // Cuts the file to its first `size` bytes and goes on from there. Files only.
  absl::Status Truncate(std::uint64_t size);
  absl::Status WriteLine(std::string line);

 private:
  LineWriter(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  const std::string path_;
  const int descriptor_;
};

// The output of a run that starts anew. FAILED_PRECONDITION where the file holds rows and `overwrite` is not set;
// INVALID_ARGUMENT where it is the input.
absl::StatusOr<std::unique_ptr<LineWriter>> OpenNewOutput(const std::string& input, const std::string& output,
                                                          bool overwrite);

}  // namespace prefscore::cli
