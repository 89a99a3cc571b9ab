// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/json_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

bool IsDigit(char letter) { return letter >= '0' && letter <= '9'; }

struct Shape {
  int depth = 0;             // of lists and objects
  std::size_t digits = 0;    // of the longest integer
};

// What must be known before a parser recurses into the text or rounds its numbers.
Shape MeasureShape(const std::string& text) {
  Shape shape;
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
      if (!part_of_float) shape.digits = std::max(shape.digits, at + 1 - begin);
    }
  }
  return shape;
}

absl::StatusOr<Json> Parse(const std::string& text, const std::string& what, const Json::parser_callback_t& keep) {
  if (const int depth = MeasureShape(text).depth; depth > kMaxJsonDepth) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": JSON is ", depth, " levels deep, the limit is ", kMaxJsonDepth));
  }
  try {
    return Json::parse(text, keep);
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": ", error.what()));
  }
}

}  // namespace

absl::StatusOr<Json> ParseJson(const std::string& text, const std::string& what) { return Parse(text, what, nullptr); }

absl::StatusOr<Json> ParseRequestJson(const std::string& text, const std::string& what) {
  if (const std::size_t digits = MeasureShape(text).digits; digits > kMaxIntegerDigits) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": an integer has ", digits, " digits, the limit is ", kMaxIntegerDigits));
  }
  return Parse(text, what, nullptr);
}

absl::StatusOr<Json> ParseJsonMember(const std::string& text, const std::string& name, const std::string& what) {
  const auto keep = [&name](int depth, Json::parse_event_t event, Json& parsed) {
    return depth != 1 || event != Json::parse_event_t::key || parsed == name;
  };
  absl::StatusOr<Json> object = Parse(text, what, keep);
  if (!object.ok()) return object.status();
  if (!object->is_object()) return absl::InvalidArgumentError(absl::StrCat(what, ": not a JSON object"));
  return object->value(name, Json());
}

}  // namespace prefscore
