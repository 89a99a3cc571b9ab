// SPDX-License-Identifier: Apache-2.0
#include "client/cli/result_file.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/cli/result_json.h"
#include "nlohmann/json.hpp"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

constexpr char kCure[] = "; take another --output, or start anew with --overwrite";

std::string SettingsPath(const std::string& path) { return path + ".run.json"; }

bool HasWholeLine(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  return std::getline(file, text) && !file.eof();
}

absl::Status CheckSettings(const std::string& path, const RunSettings& settings) {
  std::ifstream file(SettingsPath(path));
  const auto found = nlohmann::json::parse(file, nullptr, false);
  if (!found.is_object()) {
    return absl::FailedPreconditionError(absl::StrCat(path, " exists, but ", SettingsPath(path),
                                                      ", which would tell what made its rows, does not", kCure));
  }
  for (const auto& [name, value] : settings) {
    const auto member = found.find(name);
    const std::string before = member != found.end() && member->is_string() ? member->get<std::string>() : "";
    if (before == value) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(path, " holds rows made with ", name, " '", before, "', this run has '", value, "'", kCure));
  }
  return absl::OkStatus();
}

absl::Status WriteSettings(const std::string& path, const RunSettings& settings) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : settings) json[name] = value;
  std::ofstream file(SettingsPath(path));
  file << json.dump(2) << "\n";
  if (!file.flush()) return absl::UnavailableError(absl::StrCat("cannot write ", SettingsPath(path)));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ResultFile>> ResultFile::Open(const std::string& path, const RunSettings& settings,
                                                             bool overwrite) {
  const bool is_file =
      path != kStandardStream && (!std::filesystem::exists(path) || std::filesystem::is_regular_file(path));
  const bool holds_rows = is_file && !overwrite && HasWholeLine(path);
  if (holds_rows) RETURN_IF_ERROR(CheckSettings(path, settings));
  ASSIGN_OR_RETURN(auto writer, LineWriter::Open(path));
  auto file = std::unique_ptr<ResultFile>(new ResultFile(path, std::move(writer)));
  if (holds_rows) {
    file->kept_.open(path);
  } else if (is_file) {
    RETURN_IF_ERROR(file->writer_->Truncate(0));
    RETURN_IF_ERROR(WriteSettings(path, settings));
  }
  return file;
}

bool ResultFile::ReadKeptLine(std::string& text) {
  if (!kept_.is_open() || !std::getline(kept_, text) || kept_.eof()) return false;  // eof: no newline, torn
  kept_size_ += text.size() + 1;
  ++line_;
  return true;
}

absl::StatusOr<std::optional<v1::PairResult>> ResultFile::NextKept(std::uint64_t index, const std::string& id) {
  std::string text;
  if (!ReadKeptLine(text)) {
    if (kept_.is_open()) {
      kept_.close();
      RETURN_IF_ERROR(writer_->Truncate(kept_size_));
    }
    return std::nullopt;
  }
  const auto error = [&](const std::string& what) {
    return absl::FailedPreconditionError(absl::StrCat(path_, " line ", line_, ": ", what, kCure));
  };
  absl::StatusOr<v1::PairResult> result = PairResultFromJson(text);
  if (!result.ok()) return error(std::string(result.status().message()));
  if (result->index() != index)
    return error(absl::StrCat("holds row ", result->index(), " where row ", index, " belongs"));
  if (result->id() != id) {
    return error(absl::StrCat("holds the result of id '", result->id(), "', but the input's row has id '", id, "'"));
  }
  return std::optional<v1::PairResult>(*std::move(result));
}

absl::Status ResultFile::ExpectNoMoreKept() {
  std::string text;
  if (!kept_.is_open()) return absl::OkStatus();
  if (ReadKeptLine(text)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " line ", line_, ": the input has only ", line_ - 1, " rows", kCure));
  }
  kept_.close();
  return writer_->Truncate(kept_size_);
}

absl::Status ResultFile::Append(const v1::PairResult& result) {
  ASSIGN_OR_RETURN(const std::string text, ResultToJson(result));
  return writer_->WriteLine(text);
}

}  // namespace prefscore::cli
