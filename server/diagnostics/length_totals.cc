// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/length_totals.h"

#include <algorithm>
#include <cmath>

#include "server/diagnostics/point_totals.h"

namespace prefscore {

void CorrelationTotals::Moments::Add(std::span<const double> values) {
  const Extremes extremes = Kernels().sums.extremes(values.data(), values.size());
  minimum = std::min(minimum, extremes.minimum);
  maximum = std::max(maximum, extremes.maximum);
  sum.Add(values);
  sum_of_squares.AddProducts(values, values);
}

void CorrelationTotals::Moments::Merge(const Moments& other) {
  minimum = std::min(minimum, other.minimum);
  maximum = std::max(maximum, other.maximum);
  sum.Merge(other.sum);
  sum_of_squares.Merge(other.sum_of_squares);
}

void CorrelationTotals::Add(std::span<const double> xs, std::span<const double> ys) {
  if (xs.empty()) return;
  count_ += xs.size();
  xs_.Add(xs);
  ys_.Add(ys);
  sum_of_products_.AddProducts(xs, ys);
}

void CorrelationTotals::Merge(const CorrelationTotals& other) {
  count_ += other.count_;
  xs_.Merge(other.xs_);
  ys_.Merge(other.ys_);
  sum_of_products_.Merge(other.sum_of_products_);
}

double CorrelationTotals::Correlation() const {
  if (count_ < 2 || xs_.minimum == xs_.maximum || ys_.minimum == ys_.maximum) return 0;
  const Float128 count = static_cast<Float128>(count_);
  const Float128 sum_x = xs_.sum.WideValue();
  const Float128 sum_y = ys_.sum.WideValue();
  const double variance_x = static_cast<double>(xs_.sum_of_squares.WideValue() - sum_x * sum_x / count);
  const double variance_y = static_cast<double>(ys_.sum_of_squares.WideValue() - sum_y * sum_y / count);
  const double covariance = static_cast<double>(sum_of_products_.WideValue() - sum_x * sum_y / count);
  if (!(variance_x > 0) || !(variance_y > 0)) return 0;  // lost below the sums' last bits
  return std::clamp(covariance / std::sqrt(variance_x) / std::sqrt(variance_y), -1.0, 1.0);
}

void LengthTotals::Add(const LengthColumns& columns) {
  const ColumnKernels& kernels = Kernels().columns;
  const auto count_positive = [&](std::span<const double> values) {
    return kernels.count_above(values.data(), values.size(), 0.0);
  };
  const std::size_t num_with_reference = columns.reference_margins.size();
  num_pairs_ += columns.length_differences.size();
  num_pairs_with_reference_ += num_with_reference;
  num_chosen_longer_ += count_positive(columns.length_differences);
  num_policy_accurate_ += count_positive(columns.policy_margins_per_token);
  num_reference_accurate_ += count_positive(columns.reference_margins_per_token);
  policy_.Add(columns.policy_margins, columns.length_differences);
  reference_.Add(columns.reference_margins, columns.length_differences.first(num_with_reference));
}

void LengthTotals::Merge(const LengthTotals& other) {
  num_pairs_ += other.num_pairs_;
  num_pairs_with_reference_ += other.num_pairs_with_reference_;
  num_chosen_longer_ += other.num_chosen_longer_;
  num_policy_accurate_ += other.num_policy_accurate_;
  num_reference_accurate_ += other.num_reference_accurate_;
  policy_.Merge(other.policy_);
  reference_.Merge(other.reference_);
}

std::optional<LengthReport> LengthTotals::Report() const {
  if (num_pairs_ == 0) return std::nullopt;
  return LengthReport{
      .num_pairs = num_pairs_,
      .chosen_longer_share = ShareOf(num_chosen_longer_, num_pairs_),
      .policy_margin_correlation = policy_.Correlation(),
      .reference_margin_correlation = reference_.Correlation(),
      .policy_accuracy_per_token = ShareOf(num_policy_accurate_, num_pairs_),
      .reference_accuracy_per_token = ShareOf(num_reference_accurate_, num_pairs_with_reference_),
  };
}

}  // namespace prefscore
