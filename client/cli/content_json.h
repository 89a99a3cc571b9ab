// SPDX-License-Identifier: Apache-2.0
// Prompts and completions of a row in the forms that a data set has them. Errors are INVALID_ARGUMENT and start with
// the field's name.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

// What a JSON value stands for. An empty list may be either kind of list.
enum class ContentForm { kText, kMessages, kIds, kEmptyList };

const char* FormName(ContentForm form);

absl::StatusOr<ContentForm> DetectForm(const nlohmann::ordered_json& value, const std::string& field);

// A string, a list of messages or a list of token ids; an empty list becomes `empty_list_as`. A message with exactly
// a role and a content, both strings and in this order, is sent as such, any other as its JSON text with the key
// order of the row: templates that print a message print its keys in order.
absl::StatusOr<v1::Content> ContentFromJson(const nlohmann::ordered_json& value, const std::string& field,
                                            ContentForm empty_list_as);

// The member `field` of the row as JSON text: "" where absent or null; a string is JSON text already.
std::string JsonTextMember(const nlohmann::ordered_json& row, const std::string& field);

// The row's member `id`: a string, or an integer, which is written in decimal; "" where absent or null.
absl::StatusOr<std::string> IdMember(const nlohmann::ordered_json& row);

// The member, or null where absent.
const nlohmann::ordered_json& Member(const nlohmann::ordered_json& row, const std::string& field);

}  // namespace prefscore::cli
