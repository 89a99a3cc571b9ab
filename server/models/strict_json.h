// SPDX-License-Identifier: Apache-2.0
// JSON from files that we do not trust.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace prefscore {

// One JSON object. INVALID_ARGUMENT, naming `where`, for anything else, for invalid UTF-8, for a key that occurs twice
// in one object (parsers disagree on which one counts) and for nesting deeper than json_shape.h allows.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, std::string_view where);

// The same for a file of at most 64 MiB.
absl::StatusOr<nlohmann::json> ReadJsonObject(const std::filesystem::path& path);

}  // namespace prefscore
