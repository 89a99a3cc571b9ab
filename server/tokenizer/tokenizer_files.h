// SPDX-License-Identifier: Apache-2.0
// The files of a model folder that decide its ids, read but not yet interpreted. Private to this folder.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "server/tokenizer/json_text.h"

namespace prefscore {

struct TokenizerFiles {
  std::string tokenizer_json;
  Json tokenizer_config = Json::object();
  Json special_tokens_map = Json::object();
  Json added_tokens = Json::object();  // added_tokens.json
  std::string model_type;              // config.json's; empty: none
  std::string model_tokenizer_class;   // config.json's tokenizer_class; empty: none
  // Chat templates by name, from chat_template.jinja ("default") and additional_chat_templates/NAME.jinja; where there
  // are none, from tokenizer_config.json.
  std::map<std::string, std::string> chat_templates;
};

// NOT_FOUND: no tokenizer.json. INVALID_ARGUMENT: a malformed file, by name.
absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const std::filesystem::path& folder);

}  // namespace prefscore
