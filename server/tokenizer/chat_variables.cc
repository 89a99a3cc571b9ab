// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/chat_variables.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// Arguments of apply_chat_template itself: as template variables they would do something else than in Python, and a
// template comes from the model's folder only.
constexpr std::string_view kReservedKeywords[] = {
    "conversation",   "messages",       "chat_template", "add_generation_prompt", "continue_final_message",
    "tokenize",       "padding",        "truncation",    "max_length",            "return_tensors",
    "return_dict",    "tokenizer_kwargs", "return_assistant_tokens_mask",         "sanitize_control_tokens",
};

// Without the members that are null; the reasoning under each of the names that templates read.
absl::StatusOr<Json> TemplateMessage(const Json& message) {
  if (!message.is_object()) return absl::InvalidArgumentError("messages: a message is not an object");
  Json given = Json::object();
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) given[key] = value;
  }
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const auto reasoning = given.find(name);
    if (reasoning == given.end()) continue;
    const Json value = *reasoning;
    Json aliased = {{"thinking", value}};
    aliased.update(given);
    aliased["reasoning_content"] = value;
    return aliased;
  }
  return given;
}

absl::StatusOr<Json> ListOfObjects(Json list, const char* name) {
  if (list.is_null()) return list;
  const bool objects =
      list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& entry) { return entry.is_object(); });
  if (!objects) return absl::InvalidArgumentError(absl::StrCat(name, ": not a list of objects"));
  return list;
}

}  // namespace

absl::StatusOr<ChatVariables> MakeChatVariables(
    const ChatTemplateInput& input, const std::vector<std::pair<std::string, std::string>>& special_tokens) {
  ChatVariables result;
  Json& variables = result.variables;
  for (const auto& [name, text] : special_tokens) variables[name] = text;
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  if (!input.tools_json.empty()) {
    ASSIGN_OR_RETURN(variables["tools"], ParseRequestJson(input.tools_json, "tools"));
  }
  if (!input.kwargs_json.empty()) {
    ASSIGN_OR_RETURN(const Json kwargs, ParseRequestJson(input.kwargs_json, "chat_template_kwargs"));
    if (!kwargs.is_object() && !kwargs.is_null()) {
      return absl::InvalidArgumentError("chat_template_kwargs: not an object");
    }
    for (const auto& [key, value] : kwargs.items()) {
      if (std::find(std::begin(kReservedKeywords), std::end(kReservedKeywords), key) != std::end(kReservedKeywords)) {
        return absl::InvalidArgumentError(absl::StrCat("chat_template_kwargs: '", key, "' cannot be set by a request"));
      }
      variables[key] = value;
    }
  }
  ASSIGN_OR_RETURN(variables["tools"], ListOfObjects(variables["tools"], "tools"));
  ASSIGN_OR_RETURN(variables["documents"], ListOfObjects(variables["documents"], "documents"));
  result.has_tools = !variables["tools"].is_null();

  ASSIGN_OR_RETURN(const Json messages, ParseRequestJson(input.messages_json, "messages"));
  if (!messages.is_array() || messages.empty()) {
    return absl::InvalidArgumentError("messages: a conversation is a list of at least one message");
  }
  Json& prepared = variables["messages"] = Json::array();
  for (const Json& message : messages) {
    ASSIGN_OR_RETURN(Json entry, TemplateMessage(message));
    prepared.push_back(std::move(entry));
  }
  variables["add_generation_prompt"] = input.add_generation_prompt;
  return result;
}

}  // namespace prefscore
