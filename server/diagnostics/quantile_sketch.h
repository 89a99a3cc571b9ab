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

  // REQUIRES: finite values.
  void Add(std::span<const double> values);
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
  static constexpr int kBucketsPerOctave = 128;
  static constexpr int kLowestExponent = -30;

  // Counts of the buckets from 2^kLowestExponent upwards, as many octaves as were seen.
  using BucketCounts = std::vector<std::uint64_t>;

  void CountInBuckets(std::span<const double> values);
  // Calls visit(value, count) in ascending order of the values that buckets stand for.
  template <typename Visitor>
  void VisitBuckets(const Extremes& extremes, Visitor visit) const;

  std::uint64_t count_ = 0;
  std::vector<double> values_;  // all of them while exact, else none
  BucketCounts positive_;
  BucketCounts negative_;
  std::uint64_t num_zeros_ = 0;
};

}  // namespace prefscore
