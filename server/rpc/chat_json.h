// SPDX-License-Identifier: Apache-2.0
// The JSON of conversations: what callers send as JSON is checked, and what they send as fields becomes JSON.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore {

enum class JsonKind { kObject, kMessage, kListOfObjects };  // a message is an object in a list

// A FieldError for `field` where `text` is not JSON of that kind, or nests too deep (json_shape.h).
absl::Status CheckJson(const std::string& text, JsonKind kind, const std::string& field);

// The messages as one JSON list. `field` is the conversation's content. At least one message is needed.
absl::StatusOr<std::string> MessagesJson(const v1::Conversation& conversation, const std::string& field);

}  // namespace prefscore
