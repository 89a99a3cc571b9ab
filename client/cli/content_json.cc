// SPDX-License-Identifier: Apache-2.0
#include "client/cli/content_json.h"

#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

using Json = nlohmann::ordered_json;

absl::Status FieldError(const std::string& field, const std::string& description) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", description));
}

bool IsPlainMessage(const Json& message) {
  if (message.size() != 2) return false;
  const auto role = message.begin();
  const auto content = std::next(role);
  return role.key() == "role" && role->is_string() && !role->get_ref<const std::string&>().empty() &&
         content.key() == "content" && content->is_string();
}

absl::StatusOr<v1::Conversation> ConversationFromJson(const Json& list, const std::string& field) {
  v1::Conversation conversation;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Json& message = list[i];
    if (!message.is_object()) {
      return FieldError(absl::StrCat(field, "[", i, "]"),
                        absl::StrCat("must be a message object like those before it, not ", message.type_name()));
    }
    v1::ChatMessage& out = *conversation.add_messages();
    if (IsPlainMessage(message)) {
      out.set_role(message.begin()->get<std::string>());
      out.set_content(std::next(message.begin())->get<std::string>());
    } else {
      out.set_json(message.dump());
    }
  }
  return conversation;
}

absl::StatusOr<v1::TokenIds> IdsFromJson(const Json& list, const std::string& field) {
  v1::TokenIds ids;
  ids.mutable_ids()->Reserve(static_cast<int>(list.size()));
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_number_unsigned() || list[i].get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
      return FieldError(absl::StrCat(field, "[", i, "]"),
                        absl::StrCat("must be a token id like those before it, not ", list[i].dump()));
    }
    ids.add_ids(list[i].get<std::uint32_t>());
  }
  return ids;
}

}  // namespace

const char* FormName(ContentForm form) {
  switch (form) {
    case ContentForm::kText:
      return "text";
    case ContentForm::kMessages:
      return "a list of messages";
    case ContentForm::kIds:
      return "a list of token ids";
    case ContentForm::kEmptyList:
      return "an empty list";
  }
  return "";
}

absl::StatusOr<ContentForm> DetectForm(const Json& value, const std::string& field) {
  if (value.is_string()) return ContentForm::kText;
  if (value.is_array()) {
    if (value.empty()) return ContentForm::kEmptyList;
    if (value.front().is_object()) return ContentForm::kMessages;
    if (value.front().is_number_integer()) return ContentForm::kIds;
  }
  const std::string found = value.is_array() ? absl::StrCat("a list of ", value.front().type_name())
                                             : std::string(value.is_null() ? "absent" : value.type_name());
  return FieldError(field,
                    absl::StrCat("must be a string, a list of messages or a list of token ids, but is ", found));
}

absl::StatusOr<v1::Content> ContentFromJson(const Json& value, const std::string& field, ContentForm empty_list_as) {
  ASSIGN_OR_RETURN(ContentForm form, DetectForm(value, field));
  if (form == ContentForm::kEmptyList) form = empty_list_as;
  v1::Content content;
  if (form == ContentForm::kText) {
    content.set_text(value.get<std::string>());
  } else if (form == ContentForm::kMessages) {
    ASSIGN_OR_RETURN(*content.mutable_conversation(), ConversationFromJson(value, field));
  } else {
    ASSIGN_OR_RETURN(*content.mutable_token_ids(), IdsFromJson(value, field));
  }
  return content;
}

std::string JsonTextMember(const Json& row, const std::string& field) {
  const Json& value = Member(row, field);
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

absl::StatusOr<std::string> IdMember(const Json& row) {
  const Json& id = Member(row, "id");
  if (id.is_null()) return std::string();
  if (id.is_string()) return id.get<std::string>();
  if (id.is_number_integer()) return id.dump();
  return FieldError("id", absl::StrCat("must be a string or an integer, but is ", id.type_name()));
}

const Json& Member(const Json& row, const std::string& field) {
  static const Json null;
  const auto member = row.find(field);
  return member == row.end() ? null : *member;
}

}  // namespace prefscore::cli
