// SPDX-License-Identifier: Apache-2.0
#include "server/util/json_shape.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

bool IsDigit(char letter) { return letter >= '0' && letter <= '9'; }

}  // namespace

JsonShape MeasureJson(std::string_view text) {
  JsonShape shape;
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (in_string) {
      if (letter == '\\') ++at;
      if (letter == '"') in_string = false;
    } else if (letter == '"') {
      in_string = true;
    } else if (letter == '[' || letter == '{') {
      shape.depth = std::max(shape.depth, ++depth);
    } else if (letter == ']' || letter == '}') {
      --depth;
    } else if (IsDigit(letter)) {
      const std::size_t begin = at;
      while (at + 1 < text.size() && IsDigit(text[at + 1])) ++at;
      const char next = at + 1 < text.size() ? text[at + 1] : ' ';
      const bool part_of_float = next == '.' || next == 'e' || next == 'E' || (begin > 0 && text[begin - 1] == '.');
      if (!part_of_float) shape.num_integer_digits = std::max(shape.num_integer_digits, at + 1 - begin);
    }
  }
  return shape;
}

absl::Status CheckJsonDepth(std::string_view text, const std::string& field, int num_outer) {
  const int depth = MeasureJson(text).depth;
  if (depth + num_outer <= kMaxJsonDepth) return absl::OkStatus();
  return FieldError(field, absl::StrCat("nests lists and objects ", depth, " deep; the limit is ",
                                        kMaxJsonDepth - num_outer));
}

}  // namespace prefscore
