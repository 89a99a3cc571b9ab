// SPDX-License-Identifier: Apache-2.0
// Messages as JSON that people read: proto3 JSON, with the fields in the order of the proto, snake_case names, the
// shortest numbers that read back to the same value, and 64-bit integers as numbers.
#pragma once

#include <string>

#include "google/protobuf/message.h"

namespace prefscore::cli {

enum class JsonLayout { kOneLine, kIndented };

// Fields without presence are printed always, others where they are set. Numbers that are not finite are "NaN",
// "Infinity" and "-Infinity". Does not know google.protobuf.Any.
std::string MessageToJson(const google::protobuf::Message& message, JsonLayout layout = JsonLayout::kOneLine);

}  // namespace prefscore::cli
