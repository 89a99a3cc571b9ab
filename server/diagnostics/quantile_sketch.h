// SPDX-License-Identifier: Apache-2.0
// Quantiles and histograms of any number of values in bounded memory; a function of the set of values, not of their
// order.
//
// Up to kMaxExactValues the values themselves are kept. Beyond, they are counted in buckets of equal relative width:
// each power of two in 128 parts of equal width (the linearly interpolated mapping of DDSketch: C. Masson, J. E. Rim,
// H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", arXiv 1908.10693).
// A bucket stands for its middle, which is within kRelativeError of each of its values. Magnitudes below 2^-30
// (9.3e-10) count as 0.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/diagnostics/kernels/kernels.h"
#include "server/diagnostics/report.h"

namespace prefscore {

class QuantileSketch {
 public:
  static constexpr std::size_t kMaxExactValues = 16384;
  static constexpr double kRelativeError = 1.0 / 256;

  // REQUIRES: finite values; their extremes, or a wider range.
  void Add(std::span<const double> values, const Extremes& extremes);
  void Merge(const QuantileSketch& other);

  std::uint64_t count() const { return count_; }
  bool is_exact() const { return count_ <= kMaxExactValues; }

  // The quantiles of ascending `probabilities`, between two values linear: that of p lies at position p * (count - 1)
  // of the sorted values, counted from 0. REQUIRES: values; their extremes.
  std::vector<double> Quantiles(std::span<const double> probabilities, const Extremes& extremes) const;

  // Counts in buckets of equal width from minimum to maximum. A value on a bound counts above it, the maximum in the
  // last bucket; beyond kMaxExactValues as what its relative bucket stands for. REQUIRES: as of Quantiles.
  Histogram EqualWidthHistogram(std::size_t num_buckets, const Extremes& extremes) const;

  // Bytes on the heap.
  std::size_t memory() const;

 private:
  void CountExactValues();
  void CountInBuckets(std::span<const double> values, const Extremes& extremes);
  void MakeBuckets(std::size_t num_negative, std::size_t num_positive);
  // Calls visit(value, count) in ascending order of the values that buckets stand for.
  template <typename Visitor>
  void VisitBuckets(const Extremes& extremes, Visitor visit) const;

  std::uint64_t count_ = 0;
  std::vector<double> values_;  // all of them while exact, else none
  // In ascending order of what they stand for: those of negative values, of 0, of positive ones; as many octaves as
  // were seen on either side.
  std::vector<std::uint64_t> buckets_ = {0};
  std::size_t num_negative_ = 0;
};

}  // namespace prefscore
