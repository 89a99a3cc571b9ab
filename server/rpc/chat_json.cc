// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/chat_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "server/util/field_error.h"
#include "server/util/json_shape.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

using Json = nlohmann::json;

// A JSON string literal.
std::string Quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

absl::Status CheckJson(const std::string& text, JsonKind kind, const std::string& field) {
  RETURN_IF_ERROR(CheckJsonDepth(text, field, kind == JsonKind::kMessage ? 1 : 0));  // the list of messages around it
  const Json json = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return FieldError(field, "is not well-formed JSON");
  if (kind != JsonKind::kListOfObjects && !json.is_object()) {
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
      RETURN_IF_ERROR(CheckJson(message.json(), JsonKind::kMessage, path + ".json"));
      json += message.json();
    } else {
      if (message.role().empty()) return FieldError(path + ".role", "is empty, and json is not set");
      absl::StrAppend(&json, "{\"role\": ", Quoted(message.role()), ", \"content\": ", Quoted(message.content()), "}");
    }
  }
  return json + "]";
}

}  // namespace prefscore
