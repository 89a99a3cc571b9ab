// SPDX-License-Identifier: Apache-2.0
#include "client/cli/pair_rows.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "client/cli/content_json.h"
#include "client/cli/json_lines.h"
#include "client/cli/logp_rows.h"
#include "nlohmann/json.hpp"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

using Json = nlohmann::ordered_json;

// The known log-prob under `field`, or under TRL's name for it.
absl::StatusOr<std::optional<double>> KnownLogProb(const Json& row, const std::string& field,
                                                   const std::string& trl_field = "") {
  const bool has_own_name = !Member(row, field).is_null();
  const bool has_trl_name = !trl_field.empty() && !Member(row, trl_field).is_null();
  if (has_own_name && has_trl_name) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": is given twice, also as ", trl_field));
  }
  if (!has_own_name && !has_trl_name) return std::optional<double>();
  const std::string& found = has_own_name ? field : trl_field;
  const Json& value = Member(row, found);
  if (!value.is_number()) {
    return absl::InvalidArgumentError(absl::StrCat(found, ": must be a number, but is ", value.type_name()));
  }
  return std::optional<double>(value.get<double>());
}

absl::Status FillKnown(const Json& row, v1::PreferencePair& pair) {
  ASSIGN_OR_RETURN(const auto policy_chosen, KnownLogProb(row, "policy_chosen_logp"));
  ASSIGN_OR_RETURN(const auto policy_rejected, KnownLogProb(row, "policy_rejected_logp"));
  ASSIGN_OR_RETURN(const auto reference_chosen, KnownLogProb(row, "reference_chosen_logp", "ref_chosen_logps"));
  ASSIGN_OR_RETURN(const auto reference_rejected, KnownLogProb(row, "reference_rejected_logp", "ref_rejected_logps"));
  if (policy_chosen) pair.mutable_known()->set_policy_chosen_logp(*policy_chosen);
  if (policy_rejected) pair.mutable_known()->set_policy_rejected_logp(*policy_rejected);
  if (reference_chosen) pair.mutable_known()->set_reference_chosen_logp(*reference_chosen);
  if (reference_rejected) pair.mutable_known()->set_reference_rejected_logp(*reference_rejected);
  return absl::OkStatus();
}

bool HasAllKnown(const v1::KnownLogProbs& known) {
  return known.has_policy_chosen_logp() && known.has_policy_rejected_logp() && known.has_reference_chosen_logp() &&
         known.has_reference_rejected_logp();
}

absl::Status FillContents(const Json& row, v1::PreferencePair& pair) {
  const Json& prompt = Member(row, "prompt");
  const Json& chosen = Member(row, "chosen");
  const Json& rejected = Member(row, "rejected");
  if (HasAllKnown(pair.known()) && prompt.is_null() && chosen.is_null() && rejected.is_null())
    return absl::OkStatus();

  ASSIGN_OR_RETURN(const ContentForm chosen_form, DetectForm(chosen, "chosen"));
  ASSIGN_OR_RETURN(const ContentForm rejected_form, DetectForm(rejected, "rejected"));
  std::optional<ContentForm> prompt_form;
  if (!prompt.is_null()) {
    ASSIGN_OR_RETURN(prompt_form, DetectForm(prompt, "prompt"));
  }
  // An empty list is of the form of the others.
  ContentForm form = chosen_form != ContentForm::kEmptyList ? chosen_form : rejected_form;
  if (form == ContentForm::kEmptyList) form = prompt_form.value_or(ContentForm::kIds);
  if (form == ContentForm::kEmptyList) form = ContentForm::kIds;

  if (prompt_form == ContentForm::kText && form == ContentForm::kMessages) prompt_form.reset();
  const auto check_form = [&](ContentForm found, const char* field) {
    if (found == form || found == ContentForm::kEmptyList) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(field, ": is ", FormName(found), ", but chosen is ",
                                                   FormName(form), "; all contents of a pair take one form"));
  };
  RETURN_IF_ERROR(check_form(rejected_form, "rejected"));
  if (prompt_form) RETURN_IF_ERROR(check_form(*prompt_form, "prompt"));
  if (!prompt_form && form == ContentForm::kIds) {
    return absl::InvalidArgumentError("prompt: is absent; it is required with token ids");
  }
  if (prompt_form) {
    ASSIGN_OR_RETURN(*pair.mutable_prompt(), ContentFromJson(prompt, "prompt", form));
  }
  ASSIGN_OR_RETURN(*pair.mutable_chosen(), ContentFromJson(chosen, "chosen", form));
  ASSIGN_OR_RETURN(*pair.mutable_rejected(), ContentFromJson(rejected, "rejected", form));
  return absl::OkStatus();
}

absl::Status FillPair(const std::string& text, const std::vector<std::string>& label_fields,
                      v1::PreferencePair& pair) {
  ASSIGN_OR_RETURN(const Json row, ParseJsonObject(text));
  ASSIGN_OR_RETURN(*pair.mutable_id(), IdMember(row));
  RETURN_IF_ERROR(FillKnown(row, pair));
  RETURN_IF_ERROR(FillLabels(row, label_fields, *pair.mutable_labels()));
  double score_gap = 0;
  bool has_score_gap = false;
  RETURN_IF_ERROR(FillScoreGap(row, score_gap, has_score_gap));
  if (has_score_gap) pair.set_score_gap(score_gap);
  RETURN_IF_ERROR(FillContents(row, pair));
  pair.set_tools_json(JsonTextMember(row, "tools"));
  pair.set_chat_template_kwargs_json(JsonTextMember(row, "chat_template_kwargs"));
  return absl::OkStatus();
}

}  // namespace

PairRow ParsePairRow(const std::string& text, const std::vector<std::string>& label_fields) {
  PairRow row;
  row.fault = FillPair(text, label_fields, row.pair);
  return row;
}

}  // namespace prefscore::cli
