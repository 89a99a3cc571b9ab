// SPDX-License-Identifier: Apache-2.0
#include "client/cli/completion_rows.h"

#include "absl/strings/str_cat.h"
#include "client/cli/content_json.h"
#include "client/cli/json_lines.h"
#include "nlohmann/json.hpp"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

using Json = nlohmann::ordered_json;

absl::Status FillPrompt(const std::string& text, v1::PromptCompletions& prompt) {
  ASSIGN_OR_RETURN(const Json row, ParseJsonObject(text));
  ASSIGN_OR_RETURN(*prompt.mutable_id(), IdMember(row));
  const Json& completions = Member(row, "completions");
  if (!completions.is_array() || completions.empty()) {
    return absl::InvalidArgumentError("completions: must be a list of at least one completion");
  }
  ASSIGN_OR_RETURN(ContentForm form, DetectForm(Member(row, "prompt"), "prompt"));
  for (std::size_t i = 0; i < completions.size(); ++i) {
    const std::string field = absl::StrCat("completions[", i, "]");
    ASSIGN_OR_RETURN(const ContentForm found, DetectForm(completions[i], field));
    if (form == ContentForm::kEmptyList) form = found;
    if (found != form && found != ContentForm::kEmptyList) {
      return absl::InvalidArgumentError(absl::StrCat(field, ": is ", FormName(found), ", but what is before it is ",
                                                     FormName(form), "; prompt and completions take one form"));
    }
  }
  if (form == ContentForm::kEmptyList) form = ContentForm::kIds;
  ASSIGN_OR_RETURN(*prompt.mutable_prompt(), ContentFromJson(Member(row, "prompt"), "prompt", form));
  for (std::size_t i = 0; i < completions.size(); ++i) {
    ASSIGN_OR_RETURN(*prompt.add_completions(),
                     ContentFromJson(completions[i], absl::StrCat("completions[", i, "]"), form));
  }
  prompt.set_tools_json(JsonTextMember(row, "tools"));
  prompt.set_chat_template_kwargs_json(JsonTextMember(row, "chat_template_kwargs"));
  return absl::OkStatus();
}

}  // namespace

CompletionRow ParseCompletionRow(const std::string& text) {
  CompletionRow row;
  row.fault = FillPrompt(text, row.prompt);
  return row;
}

}  // namespace prefscore::cli
