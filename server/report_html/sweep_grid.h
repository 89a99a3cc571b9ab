// SPDX-License-Identifier: Apache-2.0
// The points of a sweep by beta and gamma/beta, and which of them are drawn where there are too many.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::report_html {

// Keeps a reference to the objective.
class SweepGrid {
 public:
  explicit SweepGrid(const v1::ObjectiveReport& objective);

  const std::vector<double>& betas() const { return betas_; }    // ascending
  const std::vector<double>& ratios() const { return ratios_; }  // gamma/beta, ascending

  // nullptr where the sweep does not have it.
  const v1::SweepPoint* Find(double beta, double ratio) const;

  double own_beta() const { return own_beta_; }
  double own_ratio() const { return own_ratio_; }
  // The closest to the objective's own. REQUIRES: the grid has a point.
  double nearest_beta() const;
  double nearest_ratio() const;

 private:
  std::vector<double> betas_, ratios_;
  std::map<std::pair<double, double>, const v1::SweepPoint*> points_;
  double own_beta_ = 0, own_ratio_ = 0;
};

// At most `most` (>= 3) of the values, which are ascending: the first, the last, `kept` and others evenly between.
std::vector<double> ThinnedOut(const std::vector<double>& values, std::size_t most, double kept);

}  // namespace prefscore::report_html
