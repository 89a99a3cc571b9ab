// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/quantile_sketch.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace prefscore {
namespace {

// Puts the values of the ascending positions [begin, end) of `positions` where they are in the sorted order.
void Select(std::span<double> values, std::size_t offset, std::span<const std::size_t> positions) {
  if (positions.empty() || values.empty()) return;
  const std::size_t middle = positions.size() / 2;
  const std::size_t at = positions[middle] - offset;
  std::nth_element(values.begin(), values.begin() + at, values.end());
  Select(values.first(at), offset, positions.first(middle));
  Select(values.subspan(at + 1), offset + at + 1, positions.subspan(middle + 1));
}

// Linear between x and y, exact at both ends; as numpy rounds it.
double Interpolate(double x, double y, double weight) {
  const double difference = y - x;
  return weight < 0.5 ? x + difference * weight : y - difference * (1 - weight);
}

}  // namespace

void QuantileSketch::Add(std::span<const double> values, const Extremes& extremes) {
  count_ += values.size();
  if (is_exact()) {
    if (values_.capacity() < count_) {
      values_.reserve(std::min(std::max<std::size_t>(2 * values_.capacity(), count_), kMaxExactValues));
    }
    values_.insert(values_.end(), values.begin(), values.end());
    return;
  }
  CountExactValues();
  CountInBuckets(values, extremes);
}

void QuantileSketch::CountExactValues() {
  if (values_.empty()) return;
  CountInBuckets(values_, Kernels().sums.extremes(values_.data(), values_.size()));
  values_ = std::vector<double>();
}

void QuantileSketch::MakeBuckets(std::size_t num_negative, std::size_t num_positive) {
  num_negative = std::max(num_negative, num_negative_);
  const std::size_t size = num_negative + std::max(1 + num_positive, buckets_.size() - num_negative_);
  if (size == buckets_.size()) return;
  std::vector<std::uint64_t> buckets(size);
  std::copy(buckets_.begin(), buckets_.end(), buckets.begin() + (num_negative - num_negative_));
  buckets_ = std::move(buckets);
  num_negative_ = num_negative;
}

void QuantileSketch::CountInBuckets(std::span<const double> values, const Extremes& extremes) {
  const auto num_buckets_to = [](double magnitude) {
    const int exponent = magnitude > 0 ? std::ilogb(magnitude) : kLowestExponent - 1;
    return static_cast<std::size_t>(std::max(0, exponent - kLowestExponent + 1)) * kBucketsPerOctave;
  };
  MakeBuckets(num_buckets_to(-extremes.minimum), num_buckets_to(extremes.maximum));
  std::uint64_t* const zero = buckets_.data() + num_negative_;
  std::array<std::int32_t, kMaxBlock> found;
  for (; !values.empty(); values = values.subspan(std::min(values.size(), kMaxBlock))) {
    const std::size_t count = std::min(values.size(), kMaxBlock);
    Kernels().sums.find_buckets(values.data(), count, found.data());
    for (std::size_t i = 0; i < count; ++i) ++zero[found[i]];
  }
}

void QuantileSketch::Merge(const QuantileSketch& other) {
  if (other.is_exact()) {
    if (other.count_ > 0) Add(other.values_, Kernels().sums.extremes(other.values_.data(), other.values_.size()));
    return;
  }
  CountExactValues();
  count_ += other.count_;
  MakeBuckets(other.num_negative_, other.buckets_.size() - other.num_negative_ - 1);
  std::uint64_t* const buckets = buckets_.data() + (num_negative_ - other.num_negative_);
  for (std::size_t i = 0; i < other.buckets_.size(); ++i) buckets[i] += other.buckets_[i];
}

template <typename Visitor>
void QuantileSketch::VisitBuckets(const Extremes& extremes, Visitor visit) const {
  const auto middle_of = [](std::size_t bucket) {
    const int exponent = kLowestExponent + static_cast<int>(bucket / kBucketsPerOctave);
    return std::ldexp(1 + (static_cast<double>(bucket % kBucketsPerOctave) + 0.5) / kBucketsPerOctave, exponent);
  };
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i] == 0) continue;
    const double value = i < num_negative_ ? -middle_of(num_negative_ - 1 - i)
                                           : (i > num_negative_ ? middle_of(i - num_negative_ - 1) : 0.0);
    // The extremes are known exactly, and no value is beyond.
    visit(std::clamp(value, extremes.minimum, extremes.maximum), buckets_[i]);
  }
}

std::vector<double> QuantileSketch::Quantiles(std::span<const double> probabilities, const Extremes& extremes) const {
  // The values below and above each quantile, by position in the sorted order.
  std::vector<std::size_t> positions;
  std::vector<double> weights;
  const std::size_t last = count_ - 1;
  for (const double probability : probabilities) {
    const double position = probability * static_cast<double>(last);
    const std::size_t below = std::min(static_cast<std::size_t>(position), last);
    positions.push_back(below);
    positions.push_back(std::min(below + 1, last));
    weights.push_back(position - static_cast<double>(below));
  }
  std::vector<double> found(positions.size());
  if (is_exact()) {
    std::vector<double> sorted = values_;
    std::vector<std::size_t> distinct = positions;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    Select(sorted, 0, distinct);
    for (std::size_t i = 0; i < positions.size(); ++i) found[i] = sorted[positions[i]];
  } else {
    std::vector<std::size_t> order(positions.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return positions[x] < positions[y]; });
    std::size_t next = 0;
    std::uint64_t num_before = 0;
    VisitBuckets(extremes, [&](double value, std::uint64_t count) {
      num_before += count;
      for (; next < order.size() && positions[order[next]] < num_before; ++next) found[order[next]] = value;
    });
    for (std::size_t i = 0; i < positions.size(); ++i) {
      if (positions[i] == 0) found[i] = extremes.minimum;
      if (positions[i] == last) found[i] = extremes.maximum;
    }
  }
  std::vector<double> quantiles;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    quantiles.push_back(Interpolate(found[2 * i], found[2 * i + 1], weights[i]) + 0.0);  // -0 becomes 0
  }
  return quantiles;
}

Histogram QuantileSketch::EqualWidthHistogram(std::size_t num_buckets, const Extremes& extremes) const {
  const auto [minimum, maximum] = extremes;
  const double width = maximum - minimum;
  std::vector<double> bounds(num_buckets + 1);
  for (std::size_t i = 0; i <= num_buckets; ++i) {
    bounds[i] = minimum + width * (static_cast<double>(i) / static_cast<double>(num_buckets));
  }
  Histogram histogram = {.lower = minimum + 0.0, .upper = maximum + 0.0, .counts = {}};
  histogram.counts.resize(num_buckets);
  const auto add = [&](double value, std::uint64_t count) {
    // A guess, which rounding may have put beside the right bucket.
    const double share = width > 0 ? (value - minimum) / width : 1.0;
    std::size_t bucket = std::min(static_cast<std::size_t>(share * static_cast<double>(num_buckets)), num_buckets - 1);
    while (bucket > 0 && value < bounds[bucket]) --bucket;
    while (bucket + 1 < num_buckets && value >= bounds[bucket + 1]) ++bucket;
    histogram.counts[bucket] += count;
  };
  if (is_exact()) {
    for (const double value : values_) add(value, 1);
  } else {
    VisitBuckets(extremes, add);
  }
  return histogram;
}

std::size_t QuantileSketch::memory() const { return (values_.capacity() + buckets_.capacity()) * sizeof(double); }

}  // namespace prefscore
