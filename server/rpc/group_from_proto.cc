// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/group_from_proto.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/messages/pair_messages.h"
#include "server/rpc/chat_json.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// A completion or prompt and its field's name.
struct NamedContent {
  std::string name;
  v1::Content* content;
};

// Tools and template variables, for conversations only.
struct TemplateInputs {
  std::string* tools_json;
  std::string* kwargs_json;
};

const char* FormName(v1::Content::FormCase form) {
  switch (form) {
    case v1::Content::kText: return "text";
    case v1::Content::kConversation: return "a conversation";
    case v1::Content::kTokenIds: return "token ids";
    case v1::Content::FORM_NOT_SET: break;
  }
  return "empty";
}

// The form that all contents take.
absl::StatusOr<v1::Content::FormCase> CommonForm(const std::vector<NamedContent>& contents) {
  const NamedContent& first = contents.front();
  for (const auto& [name, content] : contents) {
    if (content->form_case() == v1::Content::FORM_NOT_SET) {
      return FieldError(name, "is empty: none of text, conversation and token_ids is set");
    }
    if (content->form_case() != first.content->form_case()) {
      return FieldError(name, absl::StrCat("is ", FormName(content->form_case()), ", but ", first.name, " is ",
                                           FormName(first.content->form_case()),
                                           "; all contents of one prompt take the same form"));
    }
  }
  return first.content->form_case();
}

absl::Status CheckTextSize(const std::string& field, std::size_t num_bytes, const Limits& limits) {
  if (num_bytes <= static_cast<std::size_t>(limits.max_text_bytes)) return absl::OkStatus();
  return FieldError(field, absl::StrCat("has ", num_bytes, " bytes of text; the limit is max_text_bytes = ",
                                        limits.max_text_bytes));
}

TokenIds ToTokenIds(const v1::Content& content) {
  return TokenIds(content.token_ids().ids().begin(), content.token_ids().ids().end());
}

// Takes the text or conversation out of `content`.
absl::StatusOr<TextContent> ToTextContent(const NamedContent& named, const Limits& limits) {
  v1::Content& content = *named.content;
  if (content.form_case() == v1::Content::kText) {
    RETURN_IF_ERROR(CheckTextSize(named.name, content.text().size(), limits));
    return TextContent(std::move(*content.mutable_text()));
  }
  ASSIGN_OR_RETURN(std::string messages, MessagesJson(content.conversation(), named.name));
  RETURN_IF_ERROR(CheckTextSize(named.name, messages.size(), limits));
  return TextContent(ConversationJson{std::move(messages)});
}

absl::Status CheckTemplateInputs(v1::Content::FormCase form, const TemplateInputs& inputs, const Limits& limits) {
  if (form != v1::Content::kConversation) {
    for (const auto& [field, json] : {std::pair("tools_json", inputs.tools_json),
                                      std::pair("chat_template_kwargs_json", inputs.kwargs_json)}) {
      if (!json->empty()) {
        return FieldError(field, absl::StrCat("is for conversations, and the prompt is ", FormName(form)));
      }
    }
    return absl::OkStatus();
  }
  if (!inputs.tools_json->empty()) {
    RETURN_IF_ERROR(CheckTextSize("tools_json", inputs.tools_json->size(), limits));
    RETURN_IF_ERROR(CheckJson(*inputs.tools_json, JsonKind::kListOfObjects, "tools_json"));
  }
  if (!inputs.kwargs_json->empty()) {
    RETURN_IF_ERROR(CheckTextSize("chat_template_kwargs_json", inputs.kwargs_json->size(), limits));
    RETURN_IF_ERROR(CheckJson(*inputs.kwargs_json, JsonKind::kObject, "chat_template_kwargs_json"));
  }
  return absl::OkStatus();
}

// `prompt` is null where none was sent.
absl::StatusOr<GroupContent> ToGroupContent(v1::Content* prompt, const std::vector<NamedContent>& completions,
                                            const TemplateInputs& inputs, const GroupRules& rules) {
  std::vector<NamedContent> contents;
  if (prompt != nullptr) contents.push_back({"prompt", prompt});
  contents.insert(contents.end(), completions.begin(), completions.end());
  ASSIGN_OR_RETURN(const v1::Content::FormCase form, CommonForm(contents));
  RETURN_IF_ERROR(CheckTemplateInputs(form, inputs, rules.limits));

  if (form == v1::Content::kTokenIds) {
    if (prompt == nullptr) return FieldError("prompt", "is missing; with token ids it is required");
    PromptGroup group{.prompt = ToTokenIds(*prompt), .completions = {}};
    for (const NamedContent& completion : completions) {
      group.completions.push_back(ToTokenIds(*completion.content));
      if (group.completions.back().empty()) return FieldError(completion.name, "has 0 tokens; at least 1 is needed");
    }
    return GroupContent(std::move(group));
  }

  if (rules.profile == TokenizationProfile::kIds) {
    return FieldError(contents.front().name,
                      absl::StrCat("is ", FormName(form), "; the profile 'ids' takes token ids only"));
  }
  TextGroup group;
  if (prompt != nullptr) {
    ASSIGN_OR_RETURN(group.prompt, ToTextContent({"prompt", prompt}, rules.limits));
  }
  for (const NamedContent& completion : completions) {
    if (form == v1::Content::kText && completion.content->text().empty()) {
      return FieldError(completion.name, "is empty text; at least 1 token is needed");
    }
    ASSIGN_OR_RETURN(TextContent text, ToTextContent(completion, rules.limits));
    group.completions.push_back(std::move(text));
  }
  group.tools_json = std::move(*inputs.tools_json);
  group.chat_template_kwargs_json = std::move(*inputs.kwargs_json);
  return GroupContent(std::move(group));
}

KnownLogProbs ToKnown(const v1::KnownLogProbs& proto) {
  KnownLogProbs known;
  if (proto.has_policy_chosen_logp()) known[0][kChosen] = proto.policy_chosen_logp();
  if (proto.has_policy_rejected_logp()) known[0][kRejected] = proto.policy_rejected_logp();
  if (proto.has_reference_chosen_logp()) known[1][kChosen] = proto.reference_chosen_logp();
  if (proto.has_reference_rejected_logp()) known[1][kRejected] = proto.reference_rejected_logp();
  return known;
}

}  // namespace

absl::StatusOr<PairRequest> PairFromProto(v1::PreferencePair& pair, const GroupRules& rules, PairOrigin& origin) {
  RETURN_IF_ERROR(CheckId(pair.id()));
  RETURN_IF_ERROR(CheckLabels(pair.labels()));
  PairRequest request;
  request.known = ToKnown(pair.known());
  request.is_sent = {pair.has_chosen(), pair.has_rejected()};
  if (pair.has_score_gap()) request.score_gap = pair.score_gap();
  origin.known = request.known;
  origin.is_sent = request.is_sent;
  const auto is_known = [&](std::size_t completion) {
    return request.known[0][completion] && (!rules.has_reference || request.known[1][completion]);
  };
  const bool is_chosen_known = is_known(kChosen);
  const bool is_rejected_known = is_known(kRejected);
  if (is_chosen_known && is_rejected_known) return request;
  if (!pair.has_chosen() && !is_chosen_known) return FieldError("chosen", "is missing");
  if (!pair.has_rejected() && !is_rejected_known) return FieldError("rejected", "is missing");

  // A completion that is known and not sent is stood in for by the other one: the scorer computes neither twice.
  std::vector<NamedContent> completions;
  if (pair.has_chosen()) completions.push_back({"chosen", pair.mutable_chosen()});
  if (pair.has_rejected()) completions.push_back({"rejected", pair.mutable_rejected()});
  ASSIGN_OR_RETURN(request.content,
                   ToGroupContent(pair.has_prompt() ? pair.mutable_prompt() : nullptr, completions,
                                  {pair.mutable_tools_json(), pair.mutable_chat_template_kwargs_json()}, rules));
  origin.is_text = std::holds_alternative<TextGroup>(request.content);
  if (completions.size() == 1) {
    if (!pair.has_prompt()) return FieldError("prompt", "is missing; it is required where only one completion is sent");
    std::visit([](auto& group) { group.completions.push_back(group.completions.front()); }, request.content);
  }
  return request;
}

absl::StatusOr<GroupRequest> CompletionsFromProto(v1::PromptCompletions& prompt, const GroupRules& rules) {
  RETURN_IF_ERROR(CheckId(prompt.id()));
  if (!prompt.has_prompt()) return FieldError("prompt", "is missing");
  if (prompt.completions().empty()) return FieldError("completions", "has 0 entries; at least 1 is needed");
  if (prompt.completions_size() > rules.limits.max_completions_per_prompt) {
    return FieldError("completions", absl::StrCat("has ", prompt.completions_size(),
                                                  " entries; the limit is max_completions_per_prompt = ",
                                                  rules.limits.max_completions_per_prompt));
  }
  std::vector<NamedContent> completions;
  for (int idx = 0; idx < prompt.completions_size(); ++idx) {
    completions.push_back({absl::StrCat("completions[", idx, "]"), prompt.mutable_completions(idx)});
  }
  ASSIGN_OR_RETURN(GroupContent content,
                   ToGroupContent(prompt.mutable_prompt(), completions,
                                  {prompt.mutable_tools_json(), prompt.mutable_chat_template_kwargs_json()}, rules));
  return GroupRequest{std::move(content)};
}

}  // namespace prefscore
