// SPDX-License-Identifier: Apache-2.0
// Special and added tokens as transformers 5.23 merges them from tokenizer_config.json, special_tokens_map.json,
// added_tokens.json and tokenizer.json.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tokenizer/tokenizer_class.h"
#include "server/tokenizer/tokenizer_files.h"

namespace prefscore {

struct SpecialTokens {
  std::vector<std::pair<std::string, std::string>> named;  // "eos_token" → its text; those that are set
  // Tokens to add to the tokenizer, in order, with their flags: tokenizer_abi.h's "add_tokens".
  Json to_add = Json::array();
};

absl::StatusOr<SpecialTokens> ResolveSpecialTokens(const TokenizerFiles& files, const TokenizerClass& tokenizer_class);

}  // namespace prefscore
