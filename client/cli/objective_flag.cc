// SPDX-License-Identifier: Apache-2.0
#include "client/cli/objective_flag.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace prefscore::cli {
namespace {

std::optional<double> ParseNumber(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string FormatNumber(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

std::string Format(const std::string& name, std::optional<double> beta, std::optional<double> gamma) {
  std::vector<std::string> parameters;
  if (beta) parameters.push_back("beta=" + FormatNumber(*beta));
  if (gamma) parameters.push_back("gamma=" + FormatNumber(*gamma));
  return absl::StrCat(name, parameters.empty() ? "" : ":", absl::StrJoin(parameters, ","));
}

}  // namespace

absl::StatusOr<v1::Objective> ParseObjectiveFlag(const std::string& text) {
  const auto error = [&](const std::string& description) {
    return absl::InvalidArgumentError(absl::StrCat("--objective ", text, ": ", description));
  };
  const auto colon = text.find(':');
  v1::Objective objective;
  objective.set_name(text.substr(0, colon));
  if (objective.name().empty()) return error("has no name; write NAME or NAME:beta=NUMBER,gamma=NUMBER");
  if (colon == std::string::npos) return objective;
  const std::vector<std::string> parameters = absl::StrSplit(text.substr(colon + 1), ',');
  for (const std::string& parameter : parameters) {
    const auto equals = parameter.find('=');
    const std::string name = parameter.substr(0, equals);
    if (name != "beta" && name != "gamma")
      return error(absl::StrCat("'", name, "' is not a parameter; known: beta, gamma"));
    if (equals == std::string::npos) return error(absl::StrCat(name, " has no value; write ", name, "=NUMBER"));
    const std::optional<double> value = ParseNumber(parameter.substr(equals + 1));
    if (!value) return error(absl::StrCat(name, " is not a finite number: '", parameter.substr(equals + 1), "'"));
    const bool is_given_twice = name == "beta" ? objective.has_beta() : objective.has_gamma();
    if (is_given_twice) return error(absl::StrCat(name, " is given twice"));
    name == "beta" ? objective.set_beta(*value) : objective.set_gamma(*value);
  }
  return objective;
}

std::string FormatObjective(const v1::Objective& objective) {
  return Format(objective.name(), objective.has_beta() ? std::optional(objective.beta()) : std::nullopt,
                objective.has_gamma() ? std::optional(objective.gamma()) : std::nullopt);
}

std::string FormatObjective(const v1::ObjectiveResult& objective) {
  return Format(objective.name(), objective.beta(), objective.gamma());
}

}  // namespace prefscore::cli
