// SPDX-License-Identifier: Apache-2.0
// Errors that know which field of the input they are about, so that the edge can report a field violation.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace prefscore {

// INVALID_ARGUMENT "<field>: <description>" that carries `field`. The description names the value and the limit.
absl::Status FieldError(const std::string& field, const std::string& description);

// The field that a status carries; empty where it carries none.
std::string FieldOf(const absl::Status& status);

// The same error with the field's path put in front: "chosen" under "pairs[3]" becomes "pairs[3].chosen". A status that
// carries no field gets `parent` as its field; whatever else it carries stays.
// OK stays OK.
absl::Status UnderField(const std::string& parent, const absl::Status& status);

}  // namespace prefscore
