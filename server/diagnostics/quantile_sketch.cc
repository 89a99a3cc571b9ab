// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/quantile_sketch.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace prefscore {
namespace {

constexpr std::uint64_t kSignBit = std::uint64_t{1} << 63;

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

void QuantileSketch::Add(std::span<const double> values) {
  count_ += values.size();
  if (is_exact()) {
    if (values_.capacity() < count_) {
      values_.reserve(std::min(std::max<std::size_t>(2 * values_.capacity(), count_), kMaxExactValues));
    }
    values_.insert(values_.end(), values.begin(), values.end());
    return;
  }
  if (!values_.empty()) {
    CountInBuckets(values_);
    values_ = std::vector<double>();
  }
  CountInBuckets(values);
}

void QuantileSketch::CountInBuckets(std::span<const double> values) {
  // The bits of a magnitude, less those of the lowest bucket's bound, are its bucket's number and what is below.
  constexpr int kShift = 52 - std::countr_zero(static_cast<unsigned>(kBucketsPerOctave));
  constexpr std::uint64_t kLowest = static_cast<std::uint64_t>(kLowestExponent + 1023) << 52;
  const auto [minimum, maximum] = values.empty() ? Extremes{} : Kernels().sums.extremes(values.data(), values.size());
  const auto grow = [](BucketCounts& counts, double magnitude) {
    const int exponent = magnitude > 0 ? std::ilogb(magnitude) : kLowestExponent - 1;
    const int num_octaves = std::max(0, exponent - kLowestExponent + 1);
    const std::size_t num_buckets = static_cast<std::size_t>(num_octaves) * kBucketsPerOctave;
    if (counts.size() >= num_buckets) return;
    counts.reserve(num_buckets);  // and no more
    counts.resize(num_buckets);
  };
  grow(positive_, maximum);
  grow(negative_, -minimum);
  std::uint64_t* const positive = positive_.data();
  std::uint64_t* const negative = negative_.data();
  for (const double value : values) {
    const std::uint64_t bits = std::bit_cast<std::uint64_t>(value);
    const std::uint64_t magnitude = bits & ~kSignBit;
    if (magnitude < kLowest) {
      ++num_zeros_;
    } else {
      ++(magnitude == bits ? positive : negative)[(magnitude - kLowest) >> kShift];
    }
  }
}

void QuantileSketch::Merge(const QuantileSketch& other) {
  if (other.is_exact()) return Add(other.values_);
  if (is_exact()) CountInBuckets(values_);
  values_ = std::vector<double>();
  count_ += other.count_;
  num_zeros_ += other.num_zeros_;
  const auto add = [](BucketCounts& counts, const BucketCounts& added) {
    if (counts.size() < added.size()) {
      counts.reserve(added.size());
      counts.resize(added.size());
    }
    for (std::size_t i = 0; i < added.size(); ++i) counts[i] += added[i];
  };
  add(positive_, other.positive_);
  add(negative_, other.negative_);
}

template <typename Visitor>
void QuantileSketch::VisitBuckets(const Extremes& extremes, Visitor visit) const {
  const auto middle_of = [](std::size_t bucket) {
    const int exponent = kLowestExponent + static_cast<int>(bucket / kBucketsPerOctave);
    return std::ldexp(1 + (static_cast<double>(bucket % kBucketsPerOctave) + 0.5) / kBucketsPerOctave, exponent);
  };
  // The extremes are known exactly, and no value is beyond.
  const auto visit_within = [&](double value, std::uint64_t count) {
    if (count > 0) visit(std::clamp(value, extremes.minimum, extremes.maximum), count);
  };
  for (std::size_t i = negative_.size(); i-- > 0;) visit_within(-middle_of(i), negative_[i]);
  visit_within(0.0, num_zeros_);
  for (std::size_t i = 0; i < positive_.size(); ++i) visit_within(middle_of(i), positive_[i]);
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

std::size_t QuantileSketch::memory() const {
  return (values_.capacity() + positive_.capacity() + negative_.capacity()) * sizeof(double);
}

}  // namespace prefscore
