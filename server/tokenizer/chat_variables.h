// SPDX-License-Identifier: Apache-2.0
// What a chat template sees: a conversation as transformers' apply_chat_template hands it over. Private to this folder.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tokenizer/json_text.h"
#include "server/tokenizer/tokenizer.h"

namespace prefscore {

struct ChatVariables {
  Json variables = Json::object();
  bool has_tools = false;  // a list of tools was given, be it empty
};

// special_tokens: the named ones that are set. INVALID_ARGUMENT: malformed JSON, an empty conversation, a message or
// tool that is no object, a keyword that is not the template's to see.
absl::StatusOr<ChatVariables> MakeChatVariables(
    const ChatTemplateInput& input, const std::vector<std::pair<std::string, std::string>>& special_tokens);

}  // namespace prefscore
