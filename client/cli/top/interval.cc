// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/interval.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/numbers.h"

namespace prefscore::cli {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

bool Carries(const MetricLabels& labels, const MetricLabels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    const auto found = labels.find(label.first);
    return found != labels.end() && found->second == label.second;
  });
}

double SumOf(const Scrape& scrape, const std::string& name, const MetricLabels& labels) {
  double sum = 0;
  bool is_there = false;
  for (const Series& series : scrape.Of(name)) {
    if (!Carries(series.labels, labels)) continue;
    sum += series.value;
    is_there = true;
  }
  return is_there ? sum : kNothing;
}

}  // namespace

Interval::Interval(const Scrape& before, const Scrape& after, double seconds)
    : before_(before), after_(after), seconds_(seconds) {
  constexpr char kStart[] = "process_start_time_seconds";
  is_restarted_ = SumOf(before, kStart, {}) != SumOf(after, kStart, {});
}

// `may_fall`: a sum of values of both signs, which only a restart resets.
template <typename Visit>
void Interval::VisitIncreases(const std::string& name, const MetricLabels& labels, bool may_fall, Visit visit) const {
  for (const Series& series : after_.Of(name)) {
    if (!Carries(series.labels, labels)) continue;
    double earlier = 0;
    if (!is_restarted_) {
      for (const Series& other : before_.Of(name)) {
        if (other.labels == series.labels) earlier = other.value;
      }
    }
    if (!may_fall && series.value < earlier) earlier = 0;  // reset, whatever the start time says
    visit(series, series.value - earlier);
  }
}

double Interval::Increase(const std::string& counter, const MetricLabels& labels) const {
  double sum = 0;
  bool is_there = false;
  VisitIncreases(counter, labels, /*may_fall=*/false, [&](const Series&, double increase) {
    sum += increase;
    is_there = true;
  });
  return is_there ? sum : kNothing;
}

double Interval::Rate(const std::string& counter, const MetricLabels& labels) const {
  return Increase(counter, labels) / seconds_;
}

double Interval::Value(const std::string& gauge, const MetricLabels& labels) const {
  return SumOf(after_, gauge, labels);
}

double Interval::Mean(const std::string& histogram, const MetricLabels& labels) const {
  double sum = 0;
  VisitIncreases(histogram + "_sum", labels, /*may_fall=*/true, [&](const Series&, double more) { sum += more; });
  const double count = Increase(histogram + "_count", labels);
  return count > 0 ? sum / count : kNothing;
}

double Interval::Quantile(double quantile, const std::string& histogram, const MetricLabels& labels) const {
  std::map<double, double> counts;  // cumulative, by upper bound
  VisitIncreases(histogram + "_bucket", labels, /*may_fall=*/false, [&](const Series& series, double more) {
    const auto bound = series.labels.find("le");
    double upper = 0;
    // "NaN" is a number to absl, and no key.
    if (bound != series.labels.end() && absl::SimpleAtod(bound->second, &upper) && !std::isnan(upper)) {
      counts[upper] += more;
    }
  });
  if (counts.empty() || !(counts.rbegin()->second > 0)) return kNothing;
  const double rank = quantile * counts.rbegin()->second;
  const auto bucket = std::find_if(counts.begin(), counts.end(), [&](const auto& each) { return each.second >= rank; });
  if (bucket == counts.begin()) return bucket->first > 0 ? bucket->first * rank / bucket->second : bucket->first;
  const auto below = std::prev(bucket);
  if (std::isinf(bucket->first)) return below->first;
  return below->first + (bucket->first - below->first) * (rank - below->second) / (bucket->second - below->second);
}

}  // namespace prefscore::cli
