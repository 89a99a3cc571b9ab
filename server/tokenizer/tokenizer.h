// SPDX-License-Identifier: Apache-2.0
// A model folder's tokenizer and chat template, giving exactly the ids that transformers gives. The work is done by
// Hugging Face's tokenizers and minijinja, in Rust, behind the C ABI of tokenizer_abi.h.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/util/token.h"

namespace prefscore {

// What a chat template is rendered from. All JSON, as the caller sent it: key order is kept.
struct ChatTemplateInput {
  std::string messages_json{};  // list of message objects
  std::string tools_json{};     // list of objects; empty: none
  std::string kwargs_json{};    // object of further template variables; empty: none
  bool add_generation_prompt = false;
};

struct RenderedChat {
  std::string text;
  std::string date;  // local date "YYYY-MM-DD" where the template printed the date, else empty
};

struct TokenizerOptions {
  // Local date and time that strftime_now() formats, seconds since the epoch. Default: the system clock.
  std::function<std::int64_t()> unix_time_now;
  std::size_t max_text_bytes = 1 << 20;  // longest text that Encode accepts
};

// Thread-safe: all methods may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Loads tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja and config.json's
  // model_type. NOT_FOUND where the folder has no tokenizer.json; FAILED_PRECONDITION where transformers would rebuild
  // the tokenizer differently from the file, with the cure in the message; INVALID_ARGUMENT where a file is malformed
  // or the template uses an unsupported construct (names file and line).
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::filesystem::path& folder,
                                                         TokenizerOptions options = {});

  // add_special_tokens: what the file's post-processor adds (BOS, usually). INVALID_ARGUMENT: not UTF-8, too long.
  virtual absl::StatusOr<TokenIds> Encode(const std::string& text, bool add_special_tokens) const = 0;

  // FAILED_PRECONDITION where the folder has no chat template; INVALID_ARGUMENT where the template or the JSON fails.
  virtual absl::StatusOr<RenderedChat> RenderChat(const ChatTemplateInput& input) const = 0;

  virtual bool has_chat_template() const = 0;
  // Text of the EOS token; empty where the tokenizer names none.
  virtual const std::string& eos_token() const = 0;
  // One more than the largest id that Encode can return: must not exceed the model's vocab_size.
  virtual std::int64_t vocab_size() const = 0;
  // SHA-256 (hex) over the effective tokenizer, template, special strings and engine versions: equal fingerprints give
  // equal ids.
  virtual const std::string& fingerprint() const = 0;
};

}  // namespace prefscore
