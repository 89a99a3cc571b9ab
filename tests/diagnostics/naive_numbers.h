// SPDX-License-Identifier: Apache-2.0
// Sums, shares, distributions and correlations the plain way: in long double, over values in memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "server/diagnostics/report.h"

namespace prefscore {

using Wide = long double;
using Numbers = std::vector<double>;

inline double NaiveSum(const Numbers& values) {
  Wide sum = 0;
  for (const double value : values) sum += value;
  return static_cast<double>(sum);
}

inline double NaiveMean(const Numbers& values) {
  return values.empty() ? 0 : static_cast<double>(NaiveSum(values) / static_cast<Wide>(values.size()));
}

template <typename List, typename Condition>
double NaiveShare(const List& list, Condition condition) {
  return list.empty() ? 0 : static_cast<double>(std::count_if(list.begin(), list.end(), condition)) / list.size();
}

inline Distribution NaiveDistribution(const std::string& name, const std::string& unit, Numbers values) {
  Distribution result = {.name = name, .unit = unit, .count = values.size()};
  for (const double p : {0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99}) result.quantiles.push_back({p, 0});
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  result.mean = NaiveMean(values);
  Wide squares = 0;
  for (const double value : values)
    squares += (value - static_cast<Wide>(result.mean)) * (value - static_cast<Wide>(result.mean));
  if (values.size() > 1) result.deviation = static_cast<double>(std::sqrt(squares / (values.size() - 1)));
  result.minimum = values.front();
  result.maximum = values.back();
  for (Quantile& quantile : result.quantiles) {
    const double position = quantile.probability * (values.size() - 1);
    const std::size_t below = static_cast<std::size_t>(position);
    const double weight = position - below;
    quantile.value = weight == 0 ? values[below] : values[below] * (1 - weight) + values[below + 1] * weight;
  }
  result.histogram.lower = result.minimum;
  result.histogram.upper = result.maximum;
  result.histogram.counts.resize(40);
  for (const double value : values) {
    int bucket = 39;
    while (bucket > 0 && value < result.minimum + (result.maximum - result.minimum) * (bucket / 40.0)) --bucket;
    ++result.histogram.counts[bucket];
  }
  return result;
}

inline double NaiveCorrelation(const Numbers& xs, const Numbers& ys) {
  const Wide mean_x = NaiveMean(xs), mean_y = NaiveMean(ys);
  Wide xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    xx += (xs[i] - mean_x) * (xs[i] - mean_x);
    yy += (ys[i] - mean_y) * (ys[i] - mean_y);
    xy += (xs[i] - mean_x) * (ys[i] - mean_y);
  }
  const bool is_constant = xs.size() < 2 || std::count(xs.begin(), xs.end(), xs[0]) == static_cast<long>(xs.size()) ||
                           std::count(ys.begin(), ys.end(), ys[0]) == static_cast<long>(ys.size());
  return is_constant ? 0 : static_cast<double>(xy / std::sqrt(xx * yy));
}

inline int SignOf(double x) { return (x > 0) - (x < 0); }

}  // namespace prefscore
