// SPDX-License-Identifier: Apache-2.0
// JSON that keeps its key order, from text that may be hostile. Private to this folder.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace prefscore {

using Json = nlohmann::ordered_json;

inline constexpr std::size_t kMaxIntegerDigits = 19;

// INVALID_ARGUMENT, naming `what`: not JSON, not UTF-8, or deeper than kMaxJsonDepth (json_shape.h).
absl::StatusOr<Json> ParseJson(const std::string& text, const std::string& what);

// As ParseJson; also INVALID_ARGUMENT for an integer of more than kMaxIntegerDigits, which would lose digits in print.
absl::StatusOr<Json> ParseRequestJson(const std::string& text, const std::string& what);

// Only the member `name` of the object in `text`, null where absent; the rest is read but not kept.
absl::StatusOr<Json> ParseJsonMember(const std::string& text, const std::string& name, const std::string& what);

}  // namespace prefscore
