// SPDX-License-Identifier: Apache-2.0
#include "server/config/model_options.h"

#include <CLI/App.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/config/option_checks.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

absl::Status ParseAssignments(ModelOptions& options) {
  std::set<std::string> names;
  for (const std::string& assignment : options.assignments) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == assignment.size()) {
      return FlagError("--model", absl::StrCat("'", assignment, "' is not NAME=DIR"));
    }
    const std::string name = assignment.substr(0, equals);
    if (!names.insert(name).second) return FlagError("--model", absl::StrCat("the name '", name, "' is used twice"));
    options.folders.push_back({name, assignment.substr(equals + 1)});
  }
  if (options.folders.empty()) {
    return FlagError("--model", "no model is configured; at least 1 is needed, as in --model policy=DIR");
  }
  return absl::OkStatus();
}

// Which model plays `role` by default: the one that its flag names, else the one of the role's own name.
absl::Status ResolveRole(const std::string& role, const std::vector<ModelFolder>& models, std::string& name) {
  const bool is_given = !name.empty();
  if (!is_given) name = role;
  std::string known;
  for (const ModelFolder& model : models) {
    if (model.name == name) return absl::OkStatus();
    absl::StrAppend(&known, known.empty() ? "" : ", ", model.name);
  }
  if (is_given) return FlagError("--" + role, absl::StrCat("no --model is named '", name, "'; named: ", known));
  return FlagError("--" + role,
                   absl::StrCat("no --model is named '", role, "', so --", role, " must name one of: ", known));
}

}  // namespace

void AddOptions(CLI::App& app, ModelOptions& options) {
  app.add_option("--model", options.assignments, "A model to host: its name in requests and its folder. Repeatable")
      ->type_name("NAME=DIR");
  app.add_option("--policy", options.policy, "The policy where a request names none (default: the model named policy)")
      ->type_name("NAME");
  app.add_option("--reference", options.reference,
                 "The reference where a request names none (default: the model named reference)")
      ->type_name("NAME");
}

absl::Status CheckOptions(ModelOptions& options) {
  RETURN_IF_ERROR(ParseAssignments(options));
  RETURN_IF_ERROR(ResolveRole("policy", options.folders, options.policy));
  return ResolveRole("reference", options.folders, options.reference);
}

}  // namespace prefscore
