// SPDX-License-Identifier: Apache-2.0
// JSON that keeps its key order, from text that may be hostile. Private to this folder.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace prefscore {

using Json = nlohmann::ordered_json;

inline constexpr int kMaxJsonDepth = 64;  // lists and objects within each other
inline constexpr int kMaxIntegerDigits = 19;

// INVALID_ARGUMENT, naming `what`: not JSON, not UTF-8, or deeper than kMaxJsonDepth.
absl::StatusOr<Json> ParseJson(const std::string& text, const std::string& what);

// As ParseJson; also INVALID_ARGUMENT for an integer of more than kMaxIntegerDigits, which would lose digits in print.
absl::StatusOr<Json> ParseRequestJson(const std::string& text, const std::string& what);

// Only the member `name` of the object in `text`, null where absent; the rest is read but not kept.
absl::StatusOr<Json> ParseJsonMember(const std::string& text, const std::string& name, const std::string& what);

}  // namespace prefscore
