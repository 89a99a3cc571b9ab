// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/distribution.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace prefscore {

void DistributionTotals::Add(std::span<const double> values) {
  if (values.empty()) return;
  const Extremes added = Kernels().sums.extremes(values.data(), values.size());
  extremes_ = {std::min(extremes_.minimum, added.minimum), std::max(extremes_.maximum, added.maximum)};
  sum_.Add(values);
  sum_of_squares_.AddProducts(values, values);
  sketch_.Add(values, added);
}

void DistributionTotals::Merge(const DistributionTotals& other) {
  extremes_ = {std::min(extremes_.minimum, other.extremes_.minimum),
               std::max(extremes_.maximum, other.extremes_.maximum)};
  sum_.Merge(other.sum_);
  sum_of_squares_.Merge(other.sum_of_squares_);
  sketch_.Merge(other.sketch_);
}

double DistributionTotals::Mean() const {
  if (count() == 0) return 0;
  return static_cast<double>(sum_.WideValue() / static_cast<Float128>(count()));
}

double DistributionTotals::Deviation() const {
  if (count() < 2 || extremes_.minimum == extremes_.maximum) return 0;
  const Float128 count = static_cast<Float128>(this->count());
  const Float128 sum = sum_.WideValue();
  const Float128 variance = (sum_of_squares_.WideValue() - sum * sum / count) / (count - 1);
  return std::sqrt(std::max(static_cast<double>(variance), 0.0));
}

Distribution DistributionTotals::Report(const std::string& name, const std::string& unit) const {
  Distribution report = {.name = name, .unit = unit, .count = count()};
  for (const double probability : kProbabilities) report.quantiles.push_back({probability, 0});
  if (count() == 0) return report;
  report.mean = Mean();
  report.deviation = Deviation();
  report.minimum = extremes_.minimum + 0.0;  // -0 becomes 0
  report.maximum = extremes_.maximum + 0.0;
  const std::vector<double> quantiles = sketch_.Quantiles(kProbabilities, extremes_);
  for (std::size_t i = 0; i < quantiles.size(); ++i) report.quantiles[i].value = quantiles[i];
  report.quantile_relative_error = sketch_.is_exact() ? 0 : QuantileSketch::kRelativeError;
  report.histogram = sketch_.EqualWidthHistogram(kNumHistogramBuckets, extremes_);
  return report;
}

}  // namespace prefscore
