// SPDX-License-Identifier: Apache-2.0
// A realistic AnalysisReport for tests of what shows it: computed, plainly, from made-up pairs. The same options give
// the same report.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::testing {

// Ids that break a page which does not escape them.
inline const std::vector<std::string>& HostileIds() {
  static const auto* const ids = new std::vector<std::string>{
      "<script>alert(1)</script>", "\"><img src=x onerror=alert(2)>", "&lt;b&gt;'quoted'", "line\nbreak\x01\x1b[31m"};
  return *ids;
}

struct SampleOptions {
  int num_pairs = 2000;
  bool has_reference = true;
  int num_objectives = 2;  // sigmoid:beta=0.1, margin_hinge:beta=0.1,gamma=0.05, then more sigmoids
  std::vector<double> betas = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5};
  std::vector<double> gamma_over_betas = {0, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 100};
  int num_categories = 5;
  int num_listed = 6;
  int num_buckets = 40;
};

struct SamplePair {
  std::string id;
  double pc = 0, pr = 0, rc = 0, rr = 0;  // log-probs, nats
  double lc = 0, lr = 0;                  // tokens
  int category = 0;
  bool is_long = false;

  double h() const { return pc - pr; }
  double h0() const { return rc - rr; }
};

// Margins of a policy that has moved on from its reference; every 50th pair is a tie of one or both models.
inline std::vector<SamplePair> MakeSamplePairs(const SampleOptions& options) {
  std::uint64_t state = 7;
  const auto uniform = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (static_cast<double>(state >> 33) + 0.5) / 2147483648.0;
  };
  const auto normal = [&] {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  };
  std::vector<SamplePair> pairs;
  for (int i = 0; i < options.num_pairs; ++i) {
    SamplePair pair{.id = "pair-" + std::to_string(i)};
    pair.category =
        std::min(static_cast<int>(options.num_categories * uniform() * uniform() * 1.3), options.num_categories - 1);
    pair.lc = std::ceil(std::exp(4.2 + 0.7 * normal()));
    pair.lr = std::ceil(std::exp(4.1 + 0.7 * normal()));
    pair.is_long = pair.lc + pair.lr > 160;
    const double h0 = 2 + 11 * normal() - 0.06 * (pair.lc - pair.lr);
    const double h = 0.75 * h0 + 6 - 1.5 * pair.category + 8 * normal();
    pair.rc = -0.9 * pair.lc - 50;
    pair.rr = pair.rc - h0;
    pair.pc = pair.rc - 3 + 5 * normal();
    pair.pr = pair.pc - h;
    if (i % 50 == 49) pair.pr = pair.pc;
    if (i % 100 == 99) pair.rr = pair.rc;
    pairs.push_back(pair);
  }
  for (std::size_t i = 0; i < HostileIds().size() && i < pairs.size(); ++i) {
    pairs[i].id = HostileIds()[i];
    pairs[i].pc = pairs[i].rc = -150;
    pairs[i].pr = -70 + static_cast<double>(i);  // into the lists
    pairs[i].rr = -210 - static_cast<double>(i);
  }
  return pairs;
}

inline double Sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
inline double Softplus(double x) { return std::max(x, 0.) + std::log1p(std::exp(-std::fabs(x))); }

inline v1::Distribution MakeDistribution(const std::string& name, const std::string& unit, std::vector<double> values,
                                         int num_buckets) {
  v1::Distribution distribution;
  distribution.set_name(name);
  distribution.set_unit(unit);
  distribution.set_count(values.size());
  if (values.empty()) return distribution;
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  for (const double value : values) squares += (value - sum / count) * (value - sum / count);
  distribution.set_mean(sum / count);
  distribution.set_deviation(values.size() < 2 ? 0 : std::sqrt(squares / (count - 1)));
  distribution.set_minimum(values.front());
  distribution.set_maximum(values.back());
  for (const double probability : {0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99}) {
    const double at = probability * (count - 1);
    const auto below = static_cast<std::size_t>(at);
    const double above = values[std::min(below + 1, values.size() - 1)];
    v1::Quantile& quantile = *distribution.add_quantiles();
    quantile.set_probability(probability);
    quantile.set_value(values[below] + (at - std::floor(at)) * (above - values[below]));
  }
  distribution.set_quantile_relative_error(name == "loss" ? 0.005 : 0);
  v1::Histogram& histogram = *distribution.mutable_histogram();
  histogram.set_lower(values.front());
  histogram.set_upper(values.back());
  histogram.mutable_counts()->Resize(num_buckets, 0);
  const double range = values.back() - values.front();
  for (const double value : values) {
    const int bucket = range > 0 ? static_cast<int>((value - values.front()) / range * num_buckets) : 0;
    histogram.set_counts(std::min(bucket, num_buckets - 1), histogram.counts(std::min(bucket, num_buckets - 1)) + 1);
  }
  return distribution;
}

// Cell of the learning table, 3 * policy + reference.
inline int CellOf(const SamplePair& pair) {
  const auto row = [](double margin) { return margin > 0 ? 0 : margin == 0 ? 1 : 2; };
  return 3 * row(pair.h()) + row(pair.h0());
}

}  // namespace prefscore::testing
