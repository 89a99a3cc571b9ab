// SPDX-License-Identifier: Apache-2.0
// tokenize_rows FOLDER [UNIX_TIME]: preference rows in, ids out, one JSON object a line (stdin → stdout).
// In:  {"prompt" (optional), "chosen", "rejected", "tools", "chat_template_kwargs"}; text or lists of messages.
// Out: {"prompt_ids", "chosen_ids", "rejected_ids", "merged": [bool, bool], "unshared", "date"} or {"error"}.
// A folder that cannot be loaded is one line {"load_error"} and exit code 3.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "nlohmann/json.hpp"
#include "server/tokenizer/trl_profile.h"

namespace {

using Json = nlohmann::ordered_json;

prefscore::TextContent Content(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return prefscore::ConversationJson{value.dump()};
}

std::string Text(const Json& row, const char* name) { return row.contains(name) ? row[name].dump() : ""; }

Json Tokenize(const prefscore::Tokenizer& tokenizer, const Json& row) {
  prefscore::TextGroup group;
  if (row.contains("prompt")) group.prompt = Content(row["prompt"]);
  group.completions = {Content(row["chosen"]), Content(row["rejected"])};
  group.tools_json = Text(row, "tools");
  group.chat_template_kwargs_json = Text(row, "chat_template_kwargs");
  const absl::StatusOr<prefscore::TokenizedGroup> result = TokenizeLikeTrl(tokenizer, group, {"chosen", "rejected"});
  if (!result.ok()) return {{"error", result.status().ToString()}};
  return {{"prompt_ids", result->prompt},
          {"chosen_ids", result->completions[0]},
          {"rejected_ids", result->completions[1]},
          {"merged", result->boundary_merged},
          {"unshared", result->num_unshared_prompt_tokens},
          {"date", result->template_date}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: tokenize_rows FOLDER [UNIX_TIME] < rows.jsonl > ids.jsonl\n";
    return 2;
  }
  prefscore::TokenizerOptions options;
  if (argc > 2) options.unix_time_now = [now = std::atoll(argv[2])]() -> std::int64_t { return now; };
  const auto tokenizer = prefscore::Tokenizer::Load(argv[1], options);
  if (!tokenizer.ok()) {
    std::cout << Json{{"load_error", tokenizer.status().ToString()}} << "\n";
    return 3;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << Tokenize(**tokenizer, Json::parse(line)) << "\n";
  }
}
