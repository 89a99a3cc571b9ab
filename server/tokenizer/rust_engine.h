// SPDX-License-Identifier: Apache-2.0
// The C ABI as C++: owned handles, absl::Status, std::string. Private to this folder.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/tokenizer/tokenizer_abi.h"
#include "server/util/token.h"

namespace prefscore {

struct RustTokenizerDeleter {
  void operator()(prefscore_tokenizer* tokenizer) const { prefscore_tokenizer_free(tokenizer); }
};
struct RustTemplateDeleter {
  void operator()(prefscore_template* chat_template) const { prefscore_template_free(chat_template); }
};
using RustTokenizer = std::unique_ptr<prefscore_tokenizer, RustTokenizerDeleter>;
using RustTemplate = std::unique_ptr<prefscore_template, RustTemplateDeleter>;

// Arguments as in tokenizer_abi.h. Statuses carry the engine's text without a prefix: the caller names the file.
absl::StatusOr<RustTokenizer> LoadRustTokenizer(const std::string& tokenizer_json, const std::string& changes);
absl::StatusOr<TokenIds> EncodeText(const prefscore_tokenizer& tokenizer, const std::string& text,
                                    bool add_special_tokens);
absl::StatusOr<std::string> TokenizerIdentity(const prefscore_tokenizer& tokenizer);
absl::StatusOr<RustTemplate> CompileTemplate(const std::string& source);
absl::StatusOr<std::string> RenderTemplate(const prefscore_template& chat_template, const std::string& variables,
                                           prefscore_format_time format_time, void* clock);

}  // namespace prefscore
