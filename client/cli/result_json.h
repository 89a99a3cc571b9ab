// SPDX-License-Identifier: Apache-2.0
// Result rows: the result messages in proto3 JSON with snake_case names. A scored row has all its numbers, zeros too;
// a failed one only id, index and status.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

absl::StatusOr<std::string> ResultToJson(const v1::PairResult& result);
absl::StatusOr<std::string> ResultToJson(const v1::PromptResult& result);

absl::StatusOr<v1::PairResult> PairResultFromJson(const std::string& text);

// A result for a row that never reached the server. The message names the line.
template <typename Result>
Result FaultyRow(const std::string& id, std::uint64_t index, std::uint64_t line, const absl::Status& fault);

extern template v1::PairResult FaultyRow(const std::string&, std::uint64_t, std::uint64_t, const absl::Status&);
extern template v1::PromptResult FaultyRow(const std::string&, std::uint64_t, std::uint64_t, const absl::Status&);

}  // namespace prefscore::cli
