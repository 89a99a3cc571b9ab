// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/chat_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;

// Nesting of lists and objects; exact for well-formed JSON.
int Depth(const std::string& text) {
  int depth = 0;
  int max_depth = 0;
  bool in_string = false;
  for (std::size_t pos = 0; pos < text.size(); ++pos) {
    const char c = text[pos];
    if (in_string) {
      if (c == '\\') ++pos;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      max_depth = std::max(max_depth, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return max_depth;
}

// A JSON string literal.
std::string Quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

absl::Status CheckJson(const std::string& text, JsonKind kind, const std::string& field) {
  const int depth = Depth(text);
  if (depth > kMaxDepth) {
    return FieldError(field, absl::StrCat("nests ", depth, " deep; the limit is ", kMaxDepth));
  }
  const Json json = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return FieldError(field, "is not well-formed JSON");
  if (kind == JsonKind::kObject && !json.is_object()) {
    return FieldError(field, absl::StrCat("is a JSON ", json.type_name(), ", not an object"));
  }
  if (kind == JsonKind::kListOfObjects &&
      !(json.is_array() && std::all_of(json.begin(), json.end(), [](const Json& item) { return item.is_object(); }))) {
    return FieldError(field, "is not a JSON list of objects");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MessagesJson(const v1::Conversation& conversation, const std::string& field) {
  if (conversation.messages().empty()) {
    return FieldError(field, "is a conversation of 0 messages; at least 1 is needed");
  }
  std::string json = "[";
  for (int idx = 0; idx < conversation.messages_size(); ++idx) {
    const v1::ChatMessage& message = conversation.messages(idx);
    const std::string path = absl::StrCat(field, ".conversation.messages[", idx, "]");
    if (idx > 0) json += ", ";
    if (!message.json().empty()) {
      if (!message.role().empty() || !message.content().empty()) {
        return FieldError(path, "sets json and also role or content, which exclude each other");
      }
      RETURN_IF_ERROR(CheckJson(message.json(), JsonKind::kObject, path + ".json"));
      json += message.json();
    } else {
      if (message.role().empty()) return FieldError(path + ".role", "is empty, and json is not set");
      absl::StrAppend(&json, "{\"role\": ", Quoted(message.role()), ", \"content\": ", Quoted(message.content()), "}");
    }
  }
  return json + "]";
}

}  // namespace prefscore
