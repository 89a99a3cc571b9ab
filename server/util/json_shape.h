// SPDX-License-Identifier: Apache-2.0
// What must be known of JSON from outside before a parser recurses into it or rounds its numbers.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace prefscore {

inline constexpr int kMaxJsonDepth = 64;  // lists and objects within each other

struct JsonShape {
  int depth = 0;                       // of lists and objects
  std::size_t num_integer_digits = 0;  // of the longest integer
};

// Reads the text once, without recursion. Exact for JSON; for other text, exact up to where a parser gives up.
JsonShape MeasureJson(std::string_view text);

// FieldError where `text` nests deeper than kMaxJsonDepth. num_outer: lists and objects that will be put around it.
absl::Status CheckJsonDepth(std::string_view text, const std::string& field, int num_outer = 0);

}  // namespace prefscore
