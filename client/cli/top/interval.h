// SPDX-License-Identifier: Apache-2.0
// What happened between two scrapes of a server.
#pragma once

#include <string>

#include "client/cli/top/scrape.h"

namespace prefscore::cli {

// Where a server was started anew in between, all that its counters hold happened in between. NaN: there is nothing to
// tell, such as the mean of no values. `labels` choose series: those that carry all of them.
class Interval {
 public:
  // `seconds` > 0 lie between the two, which outlive the interval.
  Interval(const Scrape& before, const Scrape& after, double seconds);

  bool is_restarted() const { return is_restarted_; }
  double seconds() const { return seconds_; }
  const Scrape& after() const { return after_; }

  // A counter's increase, all series together; per second.
  double Increase(const std::string& counter, const MetricLabels& labels = {}) const;
  double Rate(const std::string& counter, const MetricLabels& labels = {}) const;
  // A gauge's value at the end, all series together.
  double Value(const std::string& gauge, const MetricLabels& labels = {}) const;

  // Of what a histogram (without its _bucket) saw in between; a quantile is interpolated in its bucket, as Prometheus'
  // histogram_quantile does.
  double Mean(const std::string& histogram, const MetricLabels& labels = {}) const;
  double Quantile(double quantile, const std::string& histogram, const MetricLabels& labels = {}) const;

 private:
  template <typename Visit>
  void VisitIncreases(const std::string& name, const MetricLabels& labels, bool may_fall, Visit visit) const;

  const Scrape& before_;
  const Scrape& after_;
  const double seconds_;
  bool is_restarted_ = false;
};

}  // namespace prefscore::cli
