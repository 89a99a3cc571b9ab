// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/json_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

int Depth(const std::string& text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (in_string) {
      if (letter == '\\') ++at;
      if (letter == '"') in_string = false;
    } else if (letter == '"') {
      in_string = true;
    } else if (letter == '[' || letter == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (letter == ']' || letter == '}') {
      --depth;
    }
  }
  return deepest;
}

absl::StatusOr<Json> Parse(const std::string& text, const std::string& what, const Json::parser_callback_t& keep) {
  if (const int depth = Depth(text); depth > kMaxJsonDepth) {
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
