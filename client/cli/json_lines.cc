// SPDX-License-Identifier: Apache-2.0
#include "client/cli/json_lines.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace prefscore::cli {
namespace {

constexpr int kMaxNesting = 128;  // the server takes 64 inside a message

bool IsBlank(const std::string& text) { return text.find_first_not_of(" \t\r") == std::string::npos; }

// "column 5: syntax error ...", short, and ASCII whatever bytes the row has.
std::string Excerpt(std::string what) {
  constexpr std::size_t kMaxLength = 200;
  if (const auto column = what.find("column "); column != std::string::npos) what.erase(0, column);
  if (what.size() > kMaxLength) what = what.substr(0, kMaxLength) + "...";
  for (char& byte : what) byte = static_cast<unsigned char>(byte) < 0x80 ? byte : '?';
  return what;
}

absl::Status SystemError(const std::string& path, const char* action) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", action, " ", path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LineReader>> LineReader::Open(const std::string& path) {
  auto reader = std::unique_ptr<LineReader>(new LineReader());
  if (path == kStandardStream) {
    reader->input_ = &std::cin;
    return reader;
  }
  errno = 0;
  reader->file_.open(path);
  if (std::filesystem::is_directory(path)) errno = EISDIR;
  if (!reader->file_ || errno == EISDIR) return SystemError(path, "read");
  reader->input_ = &reader->file_;
  return reader;
}

std::optional<Line> LineReader::Next() {
  std::string text;
  while (std::getline(*input_, text)) {
    ++num_lines_;
    if (!IsBlank(text)) return Line{num_lines_, std::move(text)};
  }
  return std::nullopt;
}

std::optional<std::uint64_t> CountLines(const std::string& path) {
  std::error_code ignored;
  if (path == kStandardStream || !std::filesystem::is_regular_file(path, ignored)) return std::nullopt;
  std::ifstream file(path);
  std::uint64_t count = 0;
  for (std::string text; std::getline(file, text);) count += IsBlank(text) ? 0 : 1;
  return count;
}

absl::StatusOr<nlohmann::ordered_json> ParseJsonObject(const std::string& text) {
  const auto limit_nesting = [](int depth, nlohmann::ordered_json::parse_event_t, nlohmann::ordered_json&) {
    if (depth > kMaxNesting) throw std::length_error(absl::StrCat("nested more than ", kMaxNesting, " deep"));
    return true;
  };
  try {
    auto json = nlohmann::ordered_json::parse(text, limit_nesting);
    if (!json.is_object())
      return absl::InvalidArgumentError(absl::StrCat("not a JSON object but ", json.type_name()));
    return json;
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("not valid JSON: ", Excerpt(error.what())));
  }
}

absl::StatusOr<std::unique_ptr<LineWriter>> LineWriter::Open(const std::string& path) {
  if (path == kStandardStream) return std::unique_ptr<LineWriter>(new LineWriter("standard output", STDOUT_FILENO));
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) return SystemError(path, "write");
  auto writer = std::unique_ptr<LineWriter>(new LineWriter(path, descriptor));
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is being written by another run"));
  }
  return writer;
}

LineWriter::~LineWriter() {
  if (descriptor_ != STDOUT_FILENO) ::close(descriptor_);
}

absl::Status LineWriter::Truncate(std::uint64_t size) {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) return SystemError(path_, "cut");
  return absl::OkStatus();
}

absl::Status LineWriter::WriteLine(std::string line) {
  line.push_back('\n');
  for (std::size_t written = 0; written < line.size();) {
    const ssize_t count = ::write(descriptor_, line.data() + written, line.size() - written);
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      return SystemError(path_, "write");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LineWriter>> OpenNewOutput(const std::string& input, const std::string& output,
                                                          bool overwrite) {
  const bool is_file = output != kStandardStream;
  std::error_code ignored;
  if (is_file && std::filesystem::equivalent(input, output, ignored)) {
    return absl::InvalidArgumentError("--input and --output are the same file");
  }
  const bool holds_rows = is_file && std::filesystem::is_regular_file(output, ignored) &&
                          std::filesystem::file_size(output, ignored) > 0;
  if (holds_rows && !overwrite) {
    return absl::FailedPreconditionError(absl::StrCat(output, " exists; replace it with --overwrite"));
  }
  auto writer = LineWriter::Open(output);
  if (writer.ok() && holds_rows) {
    const absl::Status status = (*writer)->Truncate(0);
    if (!status.ok()) return status;
  }
  return writer;
}

}  // namespace prefscore::cli
