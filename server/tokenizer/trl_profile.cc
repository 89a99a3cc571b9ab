// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/trl_profile.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/tokenizer/json_text.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

std::size_t CommonPrefix(const TokenIds& a, const TokenIds& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

TokenizedGroup Split(const TokenIds& prompt, std::vector<TokenIds> joint, std::string template_date) {
  TokenizedGroup group;
  std::size_t length = prompt.size();
  for (const TokenIds& ids : joint) {
    const std::size_t shared = CommonPrefix(prompt, ids);
    group.boundary_merged.push_back(shared < prompt.size());
    length = std::min(length, shared);
  }
  group.prompt.assign(prompt.begin(), prompt.begin() + length);
  for (TokenIds& ids : joint) {
    ids.erase(ids.begin(), ids.begin() + length);
    group.completions.push_back(std::move(ids));
  }
  group.num_unshared_prompt_tokens = static_cast<std::int64_t>(prompt.size() - length);
  group.template_date = std::move(template_date);
  return group;
}

// A text or a conversation as the sequence that TRL's extract_prompt sees: code points or messages.
template <typename Item>
struct Extracted {
  std::vector<Item> prompt, chosen, rejected;
};

// The shared beginning of both sides, with extract_prompt's quirks: where one side begins the other, or both are equal,
// the last item of the shorter stays with the completions; a space before the first difference goes to the completions,
// and "before" the very first item is the last one of chosen.
template <typename Item, typename Equal, typename IsSpace>
absl::StatusOr<Extracted<Item>> ExtractPrompt(const std::vector<Item>& chosen, const std::vector<Item>& rejected,
                                              Equal equal, IsSpace is_space) {
  const auto shorter = static_cast<std::ptrdiff_t>(std::min(chosen.size(), rejected.size()));
  if (shorter == 0) return absl::InvalidArgumentError("prompt is absent and a completion is empty");
  std::ptrdiff_t cut = 0;
  while (cut < shorter && equal(chosen[cut], rejected[cut])) ++cut;
  if (cut == shorter) {
    --cut;
  } else if (is_space(cut == 0 ? chosen.back() : chosen[cut - 1])) {
    --cut;
  }
  const auto from = [cut](const std::vector<Item>& items) {  // -1: the last item, as a negative index in Python
    return cut >= 0 ? items.begin() + cut : items.end() - 1;
  };
  return Extracted<Item>{
      {chosen.begin(), from(chosen)}, {from(chosen), chosen.end()}, {from(rejected), rejected.end()}};
}

std::vector<std::string_view> CodePoints(std::string_view text) {
  std::vector<std::string_view> points;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    points.push_back(text.substr(at, end - at));
    at = end;
  }
  return points;
}

std::string Concatenate(const std::vector<std::string_view>& points) {
  std::string text;
  for (const std::string_view point : points) text += point;
  return text;
}

using Names = std::vector<std::string>;

// What is wrong with the text names its field; what is wrong with the model's folder does not. A template that exceeds
// its bounds does so with this text.
absl::Status Of(const std::string& field, const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) return FieldError(field, std::string(status.message()));
  return absl::IsInvalidArgument(status) ? UnderField(field, status) : status;
}

absl::StatusOr<TokenizedGroup> TokenizeText(const Tokenizer& tokenizer, const std::string& prompt,
                                            const std::vector<std::string>& completions, const Names& names) {
  const std::string& eos = tokenizer.eos_token();
  if (eos.empty()) {
    return absl::InvalidArgumentError(
        "the tokenizer names no eos_token, which text completions end with: send conversations or token ids, or name "
        "it in tokenizer_config.json");
  }
  const absl::StatusOr<TokenIds> prompt_ids = tokenizer.Encode(prompt, true);
  if (!prompt_ids.ok()) return Of("prompt", prompt_ids.status());
  std::vector<TokenIds> joint;
  for (std::size_t idx = 0; idx < completions.size(); ++idx) {
    const std::string& completion = completions[idx];
    const bool ends_with_eos = absl::EndsWith(completion, eos);
    absl::StatusOr<TokenIds> ids = tokenizer.Encode(prompt + completion + (ends_with_eos ? "" : eos), true);
    if (!ids.ok()) return Of(names[idx], ids.status());
    joint.push_back(*std::move(ids));
  }
  return Split(*prompt_ids, std::move(joint), "");
}

using Messages = std::vector<Json>;

absl::StatusOr<Messages> ParseMessages(const std::string& text, const std::string& field) {
  ASSIGN_OR_RETURN(const Json list, ParseRequestJson(text, field));
  if (!list.is_array() || list.empty()) return FieldError(field, "a conversation is a list of at least one message");
  if (!list[0].is_object() || !list[0].contains("role")) {
    return FieldError(field, "the first message is not an object with a role");
  }
  return Messages(list.begin(), list.end());
}

// A list of tools, or a JSON string that holds one.
absl::StatusOr<std::string> ToolsJson(const std::string& tools_json) {
  if (tools_json.empty()) return tools_json;
  ASSIGN_OR_RETURN(const Json tools, ParseRequestJson(tools_json, "tools"));
  return tools.is_string() ? tools.get<std::string>() : tools_json;
}

absl::StatusOr<TokenizedGroup> TokenizeConversation(const Tokenizer& tokenizer, const TextGroup& group,
                                                    const Messages& prompt, const std::vector<Messages>& completions,
                                                    const Names& names) {
  ChatTemplateInput input;
  ASSIGN_OR_RETURN(input.tools_json, ToolsJson(group.tools_json));
  input.kwargs_json = group.chat_template_kwargs_json;
  std::string date;
  const auto encode = [&](const Messages& messages, bool add_generation_prompt) -> absl::StatusOr<TokenIds> {
    input.messages_json = Json(messages).dump();
    input.add_generation_prompt = add_generation_prompt;
    ASSIGN_OR_RETURN(const RenderedChat chat, tokenizer.RenderChat(input));
    if (!chat.date.empty()) date = chat.date;
    return tokenizer.Encode(chat.text, false);
  };
  const absl::StatusOr<TokenIds> prompt_ids = encode(prompt, true);
  if (!prompt_ids.ok()) return Of("prompt", prompt_ids.status());
  std::vector<TokenIds> joint;
  for (std::size_t idx = 0; idx < completions.size(); ++idx) {
    Messages conversation = prompt;
    conversation.insert(conversation.end(), completions[idx].begin(), completions[idx].end());
    absl::StatusOr<TokenIds> ids = encode(conversation, false);
    if (!ids.ok()) return Of(names[idx], ids.status());
    joint.push_back(*std::move(ids));
  }
  return Split(*prompt_ids, std::move(joint), std::move(date));
}

absl::StatusOr<TokenizedGroup> TokenizeTextGroup(const Tokenizer& tokenizer, const TextGroup& group,
                                                 const Names& names) {
  std::vector<std::string> completions;
  for (const TextContent& completion : group.completions) completions.push_back(std::get<std::string>(completion));
  if (group.prompt) return TokenizeText(tokenizer, std::get<std::string>(*group.prompt), completions, names);
  using Point = std::string_view;
  ASSIGN_OR_RETURN(const Extracted<Point> extracted,
                   ExtractPrompt(
                       CodePoints(completions[0]), CodePoints(completions[1]), std::equal_to<Point>(),
                       [](Point point) { return point == " "; }));
  return TokenizeText(tokenizer, Concatenate(extracted.prompt),
                      {Concatenate(extracted.chosen), Concatenate(extracted.rejected)}, names);
}

absl::StatusOr<TokenizedGroup> TokenizeConversationGroup(const Tokenizer& tokenizer, const TextGroup& group,
                                                         const Names& names) {
  std::vector<Messages> completions;
  for (std::size_t idx = 0; idx < group.completions.size(); ++idx) {
    const auto& conversation = std::get<ConversationJson>(group.completions[idx]);
    ASSIGN_OR_RETURN(Messages messages, ParseMessages(conversation.messages, names[idx]));
    completions.push_back(std::move(messages));
  }
  if (group.prompt) {
    const std::string& prompt_json = std::get<ConversationJson>(*group.prompt).messages;
    ASSIGN_OR_RETURN(const Messages prompt, ParseMessages(prompt_json, "prompt"));
    return TokenizeConversation(tokenizer, group, prompt, completions, names);
  }
  // Messages are equal whatever the order of their members.
  const auto equal = [](const Json& a, const Json& b) { return nlohmann::json(a) == nlohmann::json(b); };
  ASSIGN_OR_RETURN(const Extracted<Json> extracted,
                   ExtractPrompt(completions[0], completions[1], equal, [](const Json&) { return false; }));
  if (extracted.prompt.empty()) {
    return absl::InvalidArgumentError("prompt is absent and the conversations share no first message");
  }
  return TokenizeConversation(tokenizer, group, extracted.prompt, {extracted.chosen, extracted.rejected}, names);
}

}  // namespace

absl::StatusOr<TokenizedGroup> TokenizeLikeTrl(const Tokenizer& tokenizer, const TextGroup& group,
                                               const std::vector<std::string>& names) {
  if (group.completions.empty()) return absl::InvalidArgumentError("a prompt needs at least one completion");
  if (!group.prompt && group.completions.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt is absent: it can be found in two completions, not in ", group.completions.size()));
  }
  const std::size_t form = group.completions[0].index();
  const bool same_form = (!group.prompt || group.prompt->index() == form) &&
                         std::all_of(group.completions.begin(), group.completions.end(),
                                     [form](const TextContent& content) { return content.index() == form; });
  if (!same_form) return absl::InvalidArgumentError("prompt and completions are not all text or all conversations");
  if (std::holds_alternative<std::string>(group.completions[0])) return TokenizeTextGroup(tokenizer, group, names);
  return TokenizeConversationGroup(tokenizer, group, names);
}

}  // namespace prefscore
