// SPDX-License-Identifier: Apache-2.0
// Which tokenizer class transformers 5.23's AutoTokenizer takes for a folder, and what it does to tokenizer.json.
//
// Most classes use the file as it is. Some rebuild it: they keep vocabulary, merges, post-processor and the added
// tokens that the configuration lists, and put in their own model options, normalizer and pre-tokenizer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tokenizer/tokenizer_files.h"

namespace prefscore {

struct TokenizerClass {
  std::string_view name = "TokenizersBackend";
  // What the class puts in place of the file's parts, as tokenizer_abi.h's "rebuild"; absent: the file as it is.
  std::optional<Json> rebuild;
  // Special tokens that hold where tokenizer_config.json does not name them; an empty text: the class sets none.
  std::vector<std::pair<std::string_view, std::string_view>> default_special_tokens;
  bool readds_special_tokens = false;  // with plain flags, over those of the configuration
};

// FAILED_PRECONDITION: the folder asks for a class whose rules are not known here, or for its own code.
absl::StatusOr<TokenizerClass> ResolveTokenizerClass(const TokenizerFiles& files);

}  // namespace prefscore
