// SPDX-License-Identifier: Apache-2.0
// One number over many pairs: count, mean, deviation, extremes, quantiles and a histogram. A function of the set of
// values; bounded memory.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "server/diagnostics/quantile_sketch.h"
#include "server/diagnostics/report.h"
#include "server/diagnostics/reproducible_sum.h"

namespace prefscore {

class DistributionTotals {
 public:
  static constexpr double kProbabilities[] = {0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99};
  static constexpr std::size_t kNumHistogramBuckets = 40;

  // REQUIRES: finite values whose squares are finite. Squares below 2^-1041 count as 0 in the deviation.
  void Add(std::span<const double> values);
  void Merge(const DistributionTotals& other);

  std::uint64_t count() const { return sketch_.count(); }
  double Mean() const;  // 0 of nothing
  Distribution Report(const std::string& name, const std::string& unit) const;

 private:
  double Deviation() const;

  Extremes extremes_ = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  ReproducibleSum sum_;
  ReproducibleSum sum_of_squares_;
  QuantileSketch sketch_;
};

}  // namespace prefscore
