// SPDX-License-Identifier: Apache-2.0
// The "trl" tokenization profile: the ids that TRL 1.16's DPOTrainer makes of a row.
//
// Text: EOS text is appended to each completion that does not end with it; prompt and prompt + completion are encoded
// jointly, with special tokens. Conversations: prompt with, prompt + completion without a generation prompt go through
// the chat template and are encoded without special tokens; no EOS is added. The prompt ends where its ids stop
// agreeing with either joint sequence: prompt = P[:k], chosen = C[k:], rejected = R[k:], k the shorter common prefix.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tokenizer/tokenizer.h"
#include "server/util/token.h"

namespace prefscore {

// A JSON list of message objects, as the caller sent it.
struct ConversationJson {
  std::string messages;
};

// Plain text or a conversation; the completions of one prompt have its form.
using TextContent = std::variant<std::string, ConversationJson>;

struct TextGroup {
  std::optional<TextContent> prompt{};  // absent: the implicit prompt (TRL's extract_prompt); two completions only
  std::vector<TextContent> completions{};
  std::string tools_json{};                 // conversations only
  std::string chat_template_kwargs_json{};  // conversations only
};

struct TokenizedGroup {
  TokenIds prompt;                      // [k]
  std::vector<TokenIds> completions;    // joint ids from k on
  std::vector<bool> boundary_merged;    // per completion: its joint ids do not start with the prompt's own ids
  std::int64_t num_unshared_prompt_tokens = 0;  // the prompt's own tokens beyond k
  std::string template_date;            // as RenderedChat::date
};

// Tokenises a prompt and its completions with the shared boundary above, over all completions (two: a pair).
// INVALID_ARGUMENT: mixed forms, empty conversation, malformed JSON, a tokenizer without EOS for text, and what
// Tokenizer's methods refuse of the text; names "prompt" or, of the completion at fault, its name in `names`.
absl::StatusOr<TokenizedGroup> TokenizeLikeTrl(const Tokenizer& tokenizer, const TextGroup& group,
                                               const std::vector<std::string>& names);

}  // namespace prefscore
