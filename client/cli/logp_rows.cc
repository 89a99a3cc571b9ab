// SPDX-License-Identifier: Apache-2.0
#include "client/cli/logp_rows.h"

#include <cstdint>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/cli/content_json.h"
#include "client/cli/json_lines.h"
#include "nlohmann/json.hpp"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

using Json = nlohmann::ordered_json;

absl::Status TypeError(const std::string& field, const char* wanted, const Json& value) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": must be ", wanted, ", but is ", value.type_name()));
}

// A number, or one of the texts that proto3 JSON has for what JSON has no number for.
absl::StatusOr<std::optional<double>> NumberMember(const Json& row, const std::string& field) {
  const Json& value = Member(row, field);
  if (value.is_null()) return std::optional<double>();
  if (value.is_number()) return std::optional<double>(value.get<double>());
  if (value == "NaN") return std::optional<double>(std::numeric_limits<double>::quiet_NaN());
  if (value == "Infinity") return std::optional<double>(std::numeric_limits<double>::infinity());
  if (value == "-Infinity") return std::optional<double>(-std::numeric_limits<double>::infinity());
  return TypeError(field, "a number", value);
}

absl::StatusOr<std::uint32_t> CountMember(const Json& row, const std::string& field) {
  const Json& value = Member(row, field);
  if (value.is_null()) return 0;
  if (!value.is_number_integer()) return TypeError(field, "an integer", value);
  const auto count = value.get<std::int64_t>();
  if (count >= 0 && count <= std::numeric_limits<std::int32_t>::max()) return static_cast<std::uint32_t>(count);
  return absl::InvalidArgumentError(absl::StrCat(field, ": is ", count, "; it must be in [0, 2147483647]"));
}

absl::Status FillLogProbs(const Json& row, v1::KnownLogProbs& logps) {
  const auto read = [&](const std::string& field,
                        const std::string& trl_field) -> absl::StatusOr<std::optional<double>> {
    ASSIGN_OR_RETURN(const std::optional<double> own, NumberMember(row, field));
    if (trl_field.empty()) return own;
    ASSIGN_OR_RETURN(const std::optional<double> trl, NumberMember(row, trl_field));
    if (own && trl) return absl::InvalidArgumentError(absl::StrCat(field, ": is given twice, also as ", trl_field));
    return own ? own : trl;
  };
  ASSIGN_OR_RETURN(const auto policy_chosen, read("policy_chosen_logp", ""));
  ASSIGN_OR_RETURN(const auto policy_rejected, read("policy_rejected_logp", ""));
  ASSIGN_OR_RETURN(const auto reference_chosen, read("reference_chosen_logp", "ref_chosen_logps"));
  ASSIGN_OR_RETURN(const auto reference_rejected, read("reference_rejected_logp", "ref_rejected_logps"));
  if (policy_chosen) logps.set_policy_chosen_logp(*policy_chosen);
  if (policy_rejected) logps.set_policy_rejected_logp(*policy_rejected);
  if (reference_chosen) logps.set_reference_chosen_logp(*reference_chosen);
  if (reference_rejected) logps.set_reference_rejected_logp(*reference_rejected);
  return absl::OkStatus();
}

absl::Status FillTokenLogps(const Json& row, v1::PairLogProbs& pair) {
  const Json& token_logps = Member(row, "token_logps");
  if (token_logps.is_null()) return absl::OkStatus();
  if (!token_logps.is_object()) return TypeError("token_logps", "an object of lists", token_logps);
  v1::PairTokenLogProbs& proto = *pair.mutable_token_logps();
  const auto fill = [&](const char* side, google::protobuf::RepeatedField<float>& values) -> absl::Status {
    const std::string field = absl::StrCat("token_logps.", side);
    const Json& list = Member(token_logps, side);
    if (list.is_null()) return absl::OkStatus();
    if (!list.is_array()) return TypeError(field, "a list of numbers", list);
    for (const Json& value : list) {
      if (!value.is_number()) return TypeError(field, "a list of numbers, and an entry", value);
      values.Add(value.get<float>());
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(fill("policy_chosen", *proto.mutable_policy_chosen()));
  RETURN_IF_ERROR(fill("policy_rejected", *proto.mutable_policy_rejected()));
  RETURN_IF_ERROR(fill("reference_chosen", *proto.mutable_reference_chosen()));
  return fill("reference_rejected", *proto.mutable_reference_rejected());
}

absl::Status FillPair(const std::string& text, const std::vector<std::string>& label_fields, v1::PairLogProbs& pair) {
  ASSIGN_OR_RETURN(const Json row, ParseJsonObject(text));
  ASSIGN_OR_RETURN(*pair.mutable_id(), IdMember(row));
  RETURN_IF_ERROR(FillLabels(row, label_fields, *pair.mutable_labels()));
  const Json& status = Member(row, "status");
  if (status.is_object()) {
    const Json& message = Member(status, "message");
    const std::string text =
        absl::StrCat("was not scored: ", message.is_string() ? message.get<std::string>() : status.dump());
    const bool is_non_finite = Member(status, "code") == static_cast<int>(absl::StatusCode::kOutOfRange);
    return is_non_finite ? absl::OutOfRangeError(text) : absl::InvalidArgumentError(text);
  }
  RETURN_IF_ERROR(FillLogProbs(row, *pair.mutable_logps()));
  ASSIGN_OR_RETURN(const std::uint32_t num_chosen_tokens, CountMember(row, "num_chosen_tokens"));
  ASSIGN_OR_RETURN(const std::uint32_t num_rejected_tokens, CountMember(row, "num_rejected_tokens"));
  pair.set_num_chosen_tokens(num_chosen_tokens);
  pair.set_num_rejected_tokens(num_rejected_tokens);
  double score_gap = 0;
  bool has_score_gap = false;
  RETURN_IF_ERROR(FillScoreGap(row, score_gap, has_score_gap));
  if (has_score_gap) pair.set_score_gap(score_gap);
  RETURN_IF_ERROR(FillTokenLogps(row, pair));
  pair.set_policy_digest(JsonTextMember(row, "policy_digest"));
  pair.set_reference_digest(JsonTextMember(row, "reference_digest"));
  return absl::OkStatus();
}

}  // namespace

absl::Status FillScoreGap(const Json& row, double& score_gap, bool& has_score_gap) {
  ASSIGN_OR_RETURN(const std::optional<double> value, NumberMember(row, "score_gap"));
  has_score_gap = value.has_value();
  score_gap = value.value_or(0);
  return absl::OkStatus();
}

absl::Status FillLabels(const Json& row, const std::vector<std::string>& label_fields,
                        google::protobuf::Map<std::string, std::string>& labels) {
  const auto add = [&](const std::string& name, const Json& value) {
    if (value.is_string()) {
      labels[name] = value.get<std::string>();
    } else if (value.is_primitive() && !value.is_null()) {
      labels[name] = value.dump();
    } else {
      return TypeError(name, "a string, a number or a boolean to be a label", value);
    }
    return absl::OkStatus();
  };
  const Json& own = Member(row, "labels");
  if (!own.is_null() && !own.is_object()) return TypeError("labels", "an object", own);
  if (own.is_object()) {
    for (const auto& [name, value] : own.items()) RETURN_IF_ERROR(add(name, value));
  }
  for (const std::string& field : label_fields) {
    if (labels.contains(field) && Member(row, field).is_null()) continue;
    if (Member(row, field).is_null()) {
      return absl::InvalidArgumentError(absl::StrCat(field, ": is absent; it was asked for as a label"));
    }
    RETURN_IF_ERROR(add(field, Member(row, field)));
  }
  return absl::OkStatus();
}

LogProbRow ParseLogProbRow(const std::string& text, const std::vector<std::string>& label_fields) {
  LogProbRow row;
  row.fault = FillPair(text, label_fields, row.pair);
  return row;
}

}  // namespace prefscore::cli
