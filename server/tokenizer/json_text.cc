// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/json_text.h"

#include "absl/strings/str_cat.h"
#include "server/util/field_error.h"
#include "server/util/json_shape.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

absl::StatusOr<Json> Parse(const std::string& text, const std::string& what, const Json::parser_callback_t& keep) {
  RETURN_IF_ERROR(CheckJsonDepth(text, what));
  try {
    return Json::parse(text, keep);
  } catch (const Json::exception& error) {
    return FieldError(what, error.what());
  }
}

}  // namespace

absl::StatusOr<Json> ParseJson(const std::string& text, const std::string& what) { return Parse(text, what, nullptr); }

absl::StatusOr<Json> ParseRequestJson(const std::string& text, const std::string& what) {
  if (const std::size_t digits = MeasureJson(text).num_integer_digits; digits > kMaxIntegerDigits) {
    return FieldError(what, absl::StrCat("an integer has ", digits, " digits, the limit is ", kMaxIntegerDigits));
  }
  return Parse(text, what, nullptr);
}

absl::StatusOr<Json> ParseJsonMember(const std::string& text, const std::string& name, const std::string& what) {
  const auto keep = [&name](int depth, Json::parse_event_t event, Json& parsed) {
    return depth != 1 || event != Json::parse_event_t::key || parsed == name;
  };
  absl::StatusOr<Json> object = Parse(text, what, keep);
  if (!object.ok()) return object.status();
  if (!object->is_object()) return FieldError(what, "not a JSON object");
  return object->value(name, Json());
}

}  // namespace prefscore
