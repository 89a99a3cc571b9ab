// SPDX-License-Identifier: Apache-2.0
#include "client/cli/objectives_command.h"

#include <google/protobuf/util/json_util.h>

#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/command.h"
#include "server/messages/objective_messages.h"

namespace prefscore::cli {
namespace {

std::string ParameterText(const v1::ParameterInfo& parameter) {
  return parameter.default_value().empty() ? parameter.name()
                                           : absl::StrCat(parameter.name(), "=", parameter.default_value());
}

std::string ParametersText(const v1::ObjectiveInfo& objective, const char* quote) {
  std::string text;
  for (const v1::ParameterInfo& parameter : objective.parameters()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", quote, ParameterText(parameter), quote);
  }
  return text;
}

// What a pair must have beside the policy's log-probs.
std::string NeedsText(const v1::ObjectiveInfo& objective) {
  std::string text = absl::StrJoin(objective.needs(), ", ");
  if (objective.is_batch()) absl::StrAppend(&text, text.empty() ? "" : ", ", "a batch");
  return text;
}

void PrintMarkdown(const v1::ListObjectivesResponse& objectives) {
  std::cout << "| name | loss | parameters and defaults | needs | source |\n|---|---|---|---|---|\n";
  for (const v1::ObjectiveInfo& objective : objectives.objectives()) {
    std::cout << "| `" << objective.name() << "` | " << absl::StrReplaceAll(objective.formula(), {{"*", "\\*"}})
              << " | " << ParametersText(objective, "`") << " | " << NeedsText(objective) << " | "
              << objective.source() << " |\n";
  }
}

void PrintText(const v1::ListObjectivesResponse& objectives) {
  for (const v1::ObjectiveInfo& objective : objectives.objectives()) {
    std::cout << objective.name() << " = " << objective.formula() << "\n    " << objective.source();
    if (!objective.needs().empty() || objective.is_batch()) std::cout << "; needs " << NeedsText(objective);
    std::cout << "\n";
    for (const v1::ParameterInfo& parameter : objective.parameters()) {
      std::cout << "    " << ParameterText(parameter) << "  " << parameter.meaning() << " (" << parameter.limits()
                << "; " << parameter.source() << ")\n";
    }
  }
}

}  // namespace

int RunObjectives(ObjectivesFormat format) {
  const v1::ListObjectivesResponse objectives = ListObjectivesToProto();
  if (format == ObjectivesFormat::kMarkdown) {
    PrintMarkdown(objectives);
  } else if (format == ObjectivesFormat::kText) {
    PrintText(objectives);
  } else {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    options.add_whitespace = true;
    std::string text;
    if (!google::protobuf::util::MessageToJsonString(objectives, &text, options).ok()) return kRunFailed;
    std::cout << text;
  }
  std::cout << std::flush;
  return kAllDone;
}

}  // namespace prefscore::cli
