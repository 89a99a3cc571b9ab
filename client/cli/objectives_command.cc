// SPDX-License-Identifier: Apache-2.0
#include "client/cli/objectives_command.h"

#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/command.h"
#include "client/cli/message_json.h"
#include "server/messages/objective_messages.h"

namespace prefscore::cli {
namespace {

std::string ParameterText(const v1::ParameterInfo& parameter) {
  return parameter.default_value().empty() ? parameter.name()
                                           : absl::StrCat(parameter.name(), "=", parameter.default_value());
}

// What a pair must have beside the policy's log-probs.
std::string NeedsText(const v1::ObjectiveInfo& objective) {
  std::string text = absl::StrJoin(objective.needs(), ", ");
  if (objective.is_batch()) absl::StrAppend(&text, text.empty() ? "" : ", ", "a batch");
  return text;
}

// A row of the README's table: beta and gamma have a column, the coefficients of f_divergence_type go without saying.
void PrintMarkdown(const v1::ListObjectivesResponse& objectives) {
  std::cout << "| name | loss | weights | parameters | needs | source |\n|---|---|---|---|---|---|\n";
  for (const v1::ObjectiveInfo& objective : objectives.objectives()) {
    std::vector<std::string> weights;
    std::vector<std::string> parameters;
    for (const v1::ParameterInfo& parameter : objective.parameters()) {
      if (parameter.name() == "beta") {
        weights.push_back("β");
      } else if (parameter.name() == "gamma") {
        weights.push_back("γ");
      } else if (!absl::StartsWith(parameter.name(), "f_alpha_divergence_coef")) {
        parameters.push_back(absl::StrCat("`", ParameterText(parameter), "`"));
      }
    }
    std::cout << "| `" << objective.name() << "` | " << absl::StrReplaceAll(objective.formula(), {{"*", "\\*"}})
              << " | " << absl::StrJoin(weights, " ") << " | " << absl::StrJoin(parameters, ", ") << " | "
              << NeedsText(objective) << " | " << objective.source() << " |\n";
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
    std::cout << MessageToJson(objectives, JsonLayout::kIndented);
  }
  std::cout << std::flush;
  return kAllDone;
}

}  // namespace prefscore::cli
