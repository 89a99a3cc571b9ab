// SPDX-License-Identifier: Apache-2.0
#include "client/cli/objective_flag.h"

#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/parse_number.h"
#include "server/objectives/objective.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

// Splits at each + that stands between terms; one that follows an e belongs to a number, as in 1e+5.
std::vector<std::string> SplitTerms(const std::string& text) {
  std::vector<std::string> terms(1);
  for (std::size_t idx = 0; idx < text.size(); ++idx) {
    const bool is_exponent = idx >= 2 && (text[idx - 1] == 'e' || text[idx - 1] == 'E') &&
                             (std::isdigit(static_cast<unsigned char>(text[idx - 2])) || text[idx - 2] == '.');
    if (text[idx] == '+' && !is_exponent) {
      terms.emplace_back();
    } else {
      terms.back().push_back(text[idx]);
    }
  }
  return terms;
}

absl::StatusOr<v1::Objective> ParseTerm(const std::string& text) {
  const auto error = [](const std::string& description) { return absl::InvalidArgumentError(description); };
  const auto colon = text.find(':');
  v1::Objective objective;
  objective.set_name(text.substr(0, colon));
  if (objective.name().empty()) return error("has no name; write NAME or NAME:beta=NUMBER,gamma=NUMBER");
  if (colon == std::string::npos) return objective;
  const std::vector<std::string> parameters = absl::StrSplit(text.substr(colon + 1), ',');
  for (const std::string& parameter : parameters) {
    const auto equals = parameter.find('=');
    const std::string name = parameter.substr(0, equals);
    if (name.empty()) return error(absl::StrCat("'", parameter, "' is not PARAMETER=VALUE"));
    if (equals == std::string::npos) return error(absl::StrCat(name, " has no value; write ", name, "=VALUE"));
    const std::string value = parameter.substr(equals + 1);
    const std::optional<double> number = ParseNumber(value);
    const bool is_weight = name == "beta" || name == "gamma";
    if (number ? !std::isfinite(*number) : is_weight || value.empty()) {
      return error(absl::StrCat(name, " is not a finite number: '", value, "'"));
    }
    const bool is_given_twice = name == "beta"    ? objective.has_beta()
                                : name == "gamma" ? objective.has_gamma()
                                                  : objective.parameters().contains(name);
    if (is_given_twice) return error(absl::StrCat(name, " is given twice"));
    if (name == "beta") {
      objective.set_beta(*number);
    } else if (name == "gamma") {
      objective.set_gamma(*number);
    } else if (number) {
      (*objective.mutable_parameters())[name].set_number(*number);
    } else {
      (*objective.mutable_parameters())[name].set_text(value);
    }
  }
  return objective;
}

absl::Status AddTerm(const std::string& text, v1::Objective& sum) {
  const auto star = text.find('*');
  v1::WeightedObjective& term = *sum.add_terms();
  term.set_weight(1.0);
  if (star != std::string::npos) {
    const std::optional<double> weight = ParseNumber(text.substr(0, star));
    if (!weight || !std::isfinite(*weight)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the weight is not a finite number: '", text.substr(0, star), "'"));
    }
    term.set_weight(*weight);
  }
  ASSIGN_OR_RETURN(*term.mutable_objective(), ParseTerm(star == std::string::npos ? text : text.substr(star + 1)));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::Objective> ParseObjectiveFlag(const std::string& text) {
  const auto in_flag = [&](const absl::Status& status) {
    return absl::InvalidArgumentError(absl::StrCat("--objective ", text, ": ", std::string(status.message())));
  };
  const std::vector<std::string> terms = SplitTerms(text);
  if (terms.size() == 1 && text.find('*') == std::string::npos) {
    auto objective = ParseTerm(text);
    if (!objective.ok()) return in_flag(objective.status());
    return objective;
  }
  v1::Objective sum;
  for (const std::string& term : terms) {
    const absl::Status status = AddTerm(term, sum);
    if (!status.ok()) return in_flag(status);
  }
  return sum;
}

std::string FormatObjective(const v1::Objective& objective) {
  std::string text = objective.name();
  for (const v1::WeightedObjective& term : objective.terms()) {
    absl::StrAppend(&text, text.empty() ? "" : "+", ShortestNumber(term.weight()), "*",
                    FormatObjective(term.objective()));
  }
  const char* separator = ":";
  const auto append = [&](const std::string& name, const std::string& value) {
    absl::StrAppend(&text, separator, name, "=", value);
    separator = ",";
  };
  if (objective.has_beta()) append("beta", ShortestNumber(objective.beta()));
  if (objective.has_gamma()) append("gamma", ShortestNumber(objective.gamma()));
  std::map<std::string, std::string> parameters;  // in a fixed order
  for (const auto& [name, value] : objective.parameters()) {
    parameters[name] = value.has_text() ? value.text() : ShortestNumber(value.number());
  }
  for (const auto& [name, value] : parameters) append(name, value);
  return text;
}

std::string FormatObjective(const v1::ObjectiveResult& objective) {
  if (!objective.label().empty()) return objective.label();
  return absl::StrCat(objective.name(), ":beta=", ShortestNumber(objective.beta()),
                      ",gamma=", ShortestNumber(objective.gamma()));
}

}  // namespace prefscore::cli
