// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/analysis_options.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::size_t kMaxSweepPoints = 1024;
constexpr std::size_t kMaxTemperExponents = 32;
constexpr std::size_t kMaxPreferenceProbabilities = 32;
constexpr std::size_t kMaxSlices = 1024;
constexpr std::size_t kMaxListedPairs = 1000;
// Each objective has about 1 MiB in each large slice: a bound on what one analysis may take.
constexpr std::size_t kMaxObjectiveSlices = 1024;

std::string Entry(const std::string& field, std::size_t idx) { return absl::StrCat(field, "[", idx, "]"); }

absl::Status CheckNumber(const std::string& field, double value, bool is_valid, const char* limit) {
  if (is_valid) return absl::OkStatus();
  return FieldError(field, absl::StrCat("is ", value, "; it must be ", limit));
}

absl::Status CheckCount(const std::string& field, std::size_t count, std::size_t minimum, std::size_t maximum) {
  if (count >= minimum && count <= maximum) return absl::OkStatus();
  return FieldError(field, absl::StrCat("is ", count, "; it must be ", minimum, " to ", maximum));
}

absl::Status CheckLength(const std::string& field, std::size_t length, std::size_t maximum) {
  if (length <= maximum) return absl::OkStatus();
  return FieldError(field, absl::StrCat("has ", length, " entries; the limit is ", maximum));
}

absl::Status CheckShare(const std::string& field, double value) {
  return CheckNumber(field, value, value > 0 && value < 1, "in (0, 1)");
}

absl::Status CheckObjectives(const AnalysisOptions& options) {
  if (options.objectives.empty()) return FieldError("scoring.objectives", "are none; at least one is needed");
  for (std::size_t idx = 0; idx < options.objectives.size(); ++idx) {
    const Objective& objective = options.objectives[idx];
    if (!objective.is_batch()) continue;
    return FieldError(Entry("scoring.objectives", idx),
                      absl::StrCat("is ", objective.label(),
                                   ", which needs a whole batch; an analysis looks at pairs one "
                                   "by one"));
  }
  return absl::OkStatus();
}

absl::Status CheckSweep(const AnalysisOptions& options) {
  const auto& betas = options.sweep_betas;
  const auto& ratios = options.sweep_gamma_over_betas;
  if (betas.empty() != ratios.empty()) {
    return FieldError(betas.empty() ? "sweep.betas" : "sweep.gamma_over_betas",
                      "is empty, and the other side of the grid is not");
  }
  if (betas.size() * ratios.size() > kMaxSweepPoints) {
    return FieldError(
        "sweep", absl::StrCat("has ", betas.size(), " x ", ratios.size(), " points; the limit is ", kMaxSweepPoints));
  }
  for (std::size_t i = 0; i < betas.size(); ++i) {
    RETURN_IF_ERROR(
        CheckNumber(Entry("sweep.betas", i), betas[i], betas[i] > 0 && std::isfinite(betas[i]), "finite and > 0"));
  }
  for (std::size_t j = 0; j < ratios.size(); ++j) {
    const std::string field = Entry("sweep.gamma_over_betas", j);
    RETURN_IF_ERROR(CheckNumber(field, ratios[j], ratios[j] >= 0 && std::isfinite(ratios[j]), "finite and >= 0"));
    for (const double beta : betas) {
      if (std::isfinite(beta * ratios[j])) continue;
      return FieldError(field, absl::StrCat("is ", ratios[j], "; its product with beta ", beta, " must be finite"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTemper(const AnalysisOptions& options) {
  std::vector<double> gammas;
  for (const Objective& objective : options.objectives) {
    gammas.push_back(objective.gamma());
    for (const auto& [weight, term] : objective.terms()) gammas.push_back(term.gamma());
  }
  const auto& exponents = options.temper_exponents;
  RETURN_IF_ERROR(CheckLength("temper_exponents", exponents.size(), kMaxTemperExponents));
  for (std::size_t idx = 0; idx < exponents.size(); ++idx) {
    const std::string field = Entry("temper_exponents", idx);
    const double exponent = exponents[idx];
    RETURN_IF_ERROR(CheckNumber(field, exponent, exponent > 0 && std::isfinite(exponent), "finite and > 0"));
    for (const double gamma : gammas) {
      if (std::isfinite(gamma * exponent) && std::isfinite(gamma / exponent)) continue;
      return FieldError(field, absl::StrCat("is ", exponent, "; gamma ", gamma, " times and over it must be finite"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<Objective> DefaultObjectives() { return {*Objective::Create({.name = "sigmoid"})}; }

absl::Status Validate(const AnalysisOptions& options) {
  RETURN_IF_ERROR(CheckObjectives(options));
  RETURN_IF_ERROR(CheckSweep(options));
  RETURN_IF_ERROR(CheckTemper(options));
  RETURN_IF_ERROR(CheckShare("learning_threshold", options.learning_threshold));
  RETURN_IF_ERROR(CheckShare("saturation_threshold", options.saturation_threshold));
  RETURN_IF_ERROR(CheckCount("max_slices", options.max_slices, 1, kMaxSlices));
  if (options.objectives.size() * options.max_slices > kMaxObjectiveSlices) {
    return FieldError("max_slices",
                      absl::StrCat("is ", options.max_slices, ", and there are ", options.objectives.size(),
                                   " objectives; their product may be at most ", kMaxObjectiveSlices));
  }
  RETURN_IF_ERROR(CheckCount("num_listed_pairs", options.num_listed_pairs, 1, kMaxListedPairs));
  const auto& probabilities = options.preference_probabilities;
  RETURN_IF_ERROR(CheckLength("preference_probabilities", probabilities.size(), kMaxPreferenceProbabilities));
  for (std::size_t idx = 0; idx < probabilities.size(); ++idx) {
    RETURN_IF_ERROR(CheckNumber(Entry("preference_probabilities", idx), probabilities[idx],
                                probabilities[idx] > 0.5 && probabilities[idx] < 1, "in (0.5, 1)"));
  }
  return absl::OkStatus();
}

}  // namespace prefscore
