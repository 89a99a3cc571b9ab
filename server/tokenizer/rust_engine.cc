// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/rust_engine.h"

namespace prefscore {
namespace {

std::string TakeText(prefscore_text text) {
  std::string copy(text.data == nullptr ? "" : text.data, text.length);
  prefscore_text_free(text);
  return copy;
}

absl::Status TakeError(std::int32_t code, prefscore_text error) {
  const std::string text = TakeText(error);
  if (code == static_cast<std::int32_t>(absl::StatusCode::kInternal)) {
    return absl::InternalError("the tokenizer engine failed unexpectedly: " + text);
  }
  return absl::Status(static_cast<absl::StatusCode>(code), text);
}

}  // namespace

absl::StatusOr<RustTokenizer> LoadRustTokenizer(const std::string& tokenizer_json, const std::string& changes) {
  prefscore_tokenizer* tokenizer = nullptr;
  prefscore_text error{};
  const std::int32_t code = prefscore_tokenizer_load(tokenizer_json.data(), tokenizer_json.size(), changes.data(),
                                                     changes.size(), &tokenizer, &error);
  if (code != 0) return TakeError(code, error);
  return RustTokenizer(tokenizer);
}

absl::StatusOr<TokenIds> EncodeText(const prefscore_tokenizer& tokenizer, const std::string& text,
                                    bool add_special_tokens) {
  prefscore_ids ids{};
  prefscore_text error{};
  const std::int32_t code =
      prefscore_tokenizer_encode(&tokenizer, text.data(), text.size(), add_special_tokens, &ids, &error);
  if (code != 0) return TakeError(code, error);
  TokenIds copy(ids.data, ids.data + ids.length);
  prefscore_ids_free(ids);
  return copy;
}

absl::StatusOr<std::string> TokenizerIdentity(const prefscore_tokenizer& tokenizer) {
  prefscore_text identity{};
  prefscore_text error{};
  const std::int32_t code = prefscore_tokenizer_identity(&tokenizer, &identity, &error);
  if (code != 0) return TakeError(code, error);
  return TakeText(identity);
}

absl::StatusOr<RustTemplate> CompileTemplate(const std::string& source) {
  prefscore_template* chat_template = nullptr;
  prefscore_text error{};
  const std::int32_t code = prefscore_template_compile(source.data(), source.size(), &chat_template, &error);
  if (code != 0) return TakeError(code, error);
  return RustTemplate(chat_template);
}

absl::StatusOr<std::string> RenderTemplate(const prefscore_template& chat_template, const std::string& variables,
                                           prefscore_format_time format_time, void* clock) {
  prefscore_text rendered{};
  prefscore_text error{};
  const std::int32_t code = prefscore_template_render(&chat_template, variables.data(), variables.size(), format_time,
                                                      clock, &rendered, &error);
  if (code != 0) return TakeError(code, error);
  return TakeText(rendered);
}

}  // namespace prefscore
