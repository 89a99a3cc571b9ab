// SPDX-License-Identifier: Apache-2.0
// The output of a scoring run, which a later run can take up. Next to OUTPUT lies OUTPUT.run.json: the settings that
// made its rows. A run with other settings, or over other rows, is refused; nothing in the file is changed before
// that is known. Not thread-safe.
#pragma once

#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/json_lines.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

// Name and value of all that shapes the rows.
using RunSettings = std::vector<std::pair<std::string, std::string>>;

class ResultFile {
 public:
  // `path` may be standard output, which holds no rows. `overwrite` drops what the file holds.
  // FAILED_PRECONDITION where the file holds rows of other settings.
  static absl::StatusOr<std::unique_ptr<ResultFile>> Open(const std::string& path, const RunSettings& settings,
                                                          bool overwrite);

  // The row that the file already holds for input row `index`, which must be asked for in order from 0; nothing from
  // the first one on that it does not hold. A torn last line is cut off then. FAILED_PRECONDITION, naming the line,
  // where the row is not that of `id`.
  absl::StatusOr<std::optional<v1::PairResult>> NextKept(std::uint64_t index, const std::string& id);

  // To be called at the end of the input: FAILED_PRECONDITION where the file holds more rows than the input.
  absl::Status ExpectNoMoreKept();

  // After NextKept has returned nothing.
  absl::Status Append(const v1::PairResult& result);

 private:
  ResultFile(std::string path, std::unique_ptr<LineWriter> writer)
      : path_(std::move(path)), writer_(std::move(writer)) {}

  bool ReadKeptLine(std::string& text);

  const std::string path_;
  const std::unique_ptr<LineWriter> writer_;
  std::ifstream kept_;           // closed once its rows are used up
  std::uint64_t kept_size_ = 0;  // bytes of whole lines read
  std::uint64_t line_ = 0;
};

}  // namespace prefscore::cli
