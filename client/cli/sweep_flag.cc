// SPDX-License-Identifier: Apache-2.0
#include "client/cli/sweep_flag.h"

#include <cmath>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/parse_number.h"
#include "server/diagnostics/analysis_options.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

constexpr int kMaxCount = 1024;  // points of a grid

absl::StatusOr<double> NumberOf(const std::string& text) {
  const std::optional<double> value = ParseNumber(text);
  if (value && std::isfinite(*value)) return *value;
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a finite number"));
}

absl::Status AddRange(const std::string& text, google::protobuf::RepeatedField<double>& values) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  const bool is_log = parts.size() == 4 && parts[3] == "log";
  if (parts.size() != 3 && !is_log && !(parts.size() == 4 && parts[3] == "linear")) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not FROM:TO:COUNT, with :log or :linear at most"));
  }
  ASSIGN_OR_RETURN(const double from, NumberOf(parts[0]));
  ASSIGN_OR_RETURN(const double to, NumberOf(parts[1]));
  ASSIGN_OR_RETURN(const double count, NumberOf(parts[2]));
  if (count != std::floor(count) || count < 2 || count > kMaxCount) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", parts[2], "' is not a count of points in [2, ", kMaxCount, "]"));
  }
  if (is_log && (from <= 0 || to <= 0)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "': a logarithmic range has both ends > 0"));
  }
  for (int idx = 0; idx < static_cast<int>(count); ++idx) {
    const double share = idx / (count - 1);
    values.Add(idx == 0           ? from
               : share == 1       ? to
               : is_log           ? from * std::pow(to / from, share)
                                  : from + (to - from) * share);
  }
  return absl::OkStatus();
}

absl::Status AddList(const std::string& text, google::protobuf::RepeatedField<double>& values) {
  const std::vector<std::string> entries = absl::StrSplit(text, '/');
  for (const std::string& entry : entries) {
    if (entry.find(':') != std::string::npos) {
      RETURN_IF_ERROR(AddRange(entry, values));
    } else {
      ASSIGN_OR_RETURN(const double value, NumberOf(entry));
      values.Add(value);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::SweepGrid> Parse(const std::string& text) {
  v1::SweepGrid grid;
  if (text == "none") return grid;
  const std::vector<std::string> axes = absl::StrSplit(text, ',');
  for (const std::string& axis : axes) {
    const auto equals = axis.find('=');
    const std::string name = axis.substr(0, equals);
    const bool is_beta = name == "beta";
    if (equals == std::string::npos || (!is_beta && name != "gamma_over_beta" && name != "ratio")) {
      return absl::InvalidArgumentError(absl::StrCat("'", axis, "' is neither beta=LIST nor gamma_over_beta=LIST"));
    }
    auto& values = is_beta ? *grid.mutable_betas() : *grid.mutable_gamma_over_betas();
    if (!values.empty()) return absl::InvalidArgumentError(absl::StrCat(name, " is given twice"));
    RETURN_IF_ERROR(AddList(axis.substr(equals + 1), values));
  }
  const AnalysisOptions defaults;
  if (grid.betas().empty()) grid.mutable_betas()->Add(defaults.sweep_betas.begin(), defaults.sweep_betas.end());
  if (grid.gamma_over_betas().empty()) {
    grid.mutable_gamma_over_betas()->Add(defaults.sweep_gamma_over_betas.begin(),
                                         defaults.sweep_gamma_over_betas.end());
  }
  return grid;
}

}  // namespace

absl::StatusOr<v1::SweepGrid> ParseSweepFlag(const std::string& text) {
  auto grid = Parse(text);
  if (grid.ok()) return grid;
  return absl::InvalidArgumentError(absl::StrCat("--sweep ", text, ": ", std::string(grid.status().message())));
}

}  // namespace prefscore::cli
