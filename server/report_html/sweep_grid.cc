// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/sweep_grid.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace prefscore::report_html {
namespace {

// By their quotient, as betas and ratios are chosen; a 0 is the closest to nothing but 0.
double Distance(double left, double right) {
  if (left == right) return 0;
  if (!(left > 0) || !(right > 0)) return 1e3 + std::fabs(left - right);
  return std::fabs(std::log(left / right));
}

double Nearest(const std::vector<double>& values, double wanted) {
  return *std::min_element(values.begin(), values.end(), [wanted](double left, double right) {
    return Distance(left, wanted) < Distance(right, wanted);
  });
}

}  // namespace

SweepGrid::SweepGrid(const v1::ObjectiveReport& objective) {
  std::set<double> betas, ratios;
  for (const v1::SweepPoint& point : objective.sweep()) {
    if (!std::isfinite(point.beta()) || !std::isfinite(point.gamma_over_beta())) continue;
    betas.insert(point.beta());
    ratios.insert(point.gamma_over_beta());
    points_.emplace(std::pair(point.beta(), point.gamma_over_beta()), &point);
  }
  betas_.assign(betas.begin(), betas.end());
  ratios_.assign(ratios.begin(), ratios.end());
  own_beta_ = objective.beta();
  own_ratio_ = objective.beta() > 0 ? objective.gamma() / objective.beta() : 0;
}

const v1::SweepPoint* SweepGrid::Find(double beta, double ratio) const {
  const auto found = points_.find({beta, ratio});
  return found == points_.end() ? nullptr : found->second;
}

double SweepGrid::nearest_beta() const { return Nearest(betas_, own_beta_); }
double SweepGrid::nearest_ratio() const { return Nearest(ratios_, own_ratio_); }

std::vector<double> ThinnedOut(const std::vector<double>& values, std::size_t most, double kept) {
  if (values.size() <= most) return values;
  std::set<double> chosen = {values.front(), values.back()};
  if (std::binary_search(values.begin(), values.end(), kept)) chosen.insert(kept);
  const std::size_t num_others = most - chosen.size();
  for (std::size_t i = 1; i <= num_others; ++i) chosen.insert(values[i * (values.size() - 1) / (num_others + 1)]);
  return {chosen.begin(), chosen.end()};
}

}  // namespace prefscore::report_html
