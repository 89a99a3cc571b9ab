// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/point_totals.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "server/diagnostics/limits.h"

namespace prefscore {
namespace {

constexpr double kSmallestSquares = 1e-250;
constexpr std::uint64_t kLargestBits = std::bit_cast<std::uint64_t>(kLargestMagnitude);

bool IsUsable(const PointCounts& counts) {
  return counts.largest_loss <= kLargestBits && counts.largest_logit <= kLargestBits &&
         counts.largest_mass <= kLargestBits;
}

// Keeps the pairs with usable values; the masses stand in for both derivatives. Returns how many are left.
std::size_t KeepUsable(PointBlock& values, std::size_t count) {
  const auto is_usable = [](double value) { return std::fabs(value) <= kLargestMagnitude; };
  std::size_t num_kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double mass = values.by_policy_chosen[i];
    if (!is_usable(values.loss[i]) || !is_usable(values.logit[i]) || !is_usable(mass)) continue;
    values.loss[num_kept] = values.loss[i];
    values.logit[num_kept] = values.logit[i];
    values.by_policy_chosen[num_kept] = mass;
    values.by_policy_rejected[num_kept] = mass;
    ++num_kept;
  }
  return num_kept;
}

}  // namespace

double ShareOf(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

double MeanOf(const ReproducibleSum& sum, std::uint64_t count) {
  return count == 0 ? 0.0 : static_cast<double>(sum.WideValue() / static_cast<Float128>(count));
}

double EffectiveSampleSize(const ReproducibleSum& masses, const ReproducibleSum& squared_masses) {
  const Float128 squares = squared_masses.WideValue();
  if (squares < kSmallestSquares) return 0;
  const Float128 sum = masses.WideValue();
  return static_cast<double>(sum * sum / squares);
}

void EvaluatePoint(const PlannedPoint& point, const PairColumns& pairs, std::size_t begin, std::size_t end,
                   PointBlock& values) {
  // Whole registers where there are pairs to fill them: a loop's last few pairs cost as much as all of one.
  constexpr std::size_t kRegister = 8;
  const std::size_t whole = (end - begin + kRegister - 1) / kRegister * kRegister;
  PairColumns part{.num_pairs = std::min(whole, pairs.num_pairs - begin)};
  for (std::size_t i = 0; i < kNumPairColumns; ++i) {
    if (pairs.columns[i] != nullptr) part.columns[i] = pairs.columns[i] + begin;
  }
  const auto evaluate = [&](const Objective& objective, PointBlock& block) {
    objective.EvaluateFast(part, block.loss.data(), block.logit.data(), block.by_policy_chosen.data(),
                           block.by_policy_rejected.data());
  };
  evaluate(point.terms.front().second, values);
  if (point.terms.size() == 1 && point.terms.front().first == 1.0) return;
  // A weighted sum: losses and derivatives are summed, the logit is the first term's.
  PointBlock term;
  for (std::size_t idx = 0; idx < point.terms.size(); ++idx) {
    const double weight = point.terms[idx].first;
    if (idx > 0) evaluate(point.terms[idx].second, term);
    const auto add = [&](std::array<double, kPointBlock> PointBlock::*column) {
      for (std::size_t i = 0; i < part.num_pairs; ++i) {
        double& sum = (values.*column)[i];
        sum = idx == 0 ? weight * sum : sum + weight * (term.*column)[i];
      }
    };
    add(&PointBlock::loss);
    add(&PointBlock::by_policy_chosen);
    add(&PointBlock::by_policy_rejected);
  }
}

void PointTotals::Add(PointBlock& values, std::size_t count, std::size_t cell, const LogitThresholds& thresholds) {
  const PointKernels& kernels = Kernels().points;
  const PointColumns columns = {values.loss.data(), values.logit.data(), values.by_policy_chosen.data(),
                                values.by_policy_rejected.data()};
  PointCounts counts = kernels.count(columns, count, thresholds);
  if (!IsUsable(counts)) {
    count = KeepUsable(values, count);
    counts = kernels.count(columns, count, thresholds);
  }
  num_pairs_ += count;
  num_positive_ += counts.num_positive;
  num_negative_ += counts.num_negative;
  num_learning_ += counts.num_learning;
  num_saturated_ += counts.num_saturated;
  const double largest_mass = std::bit_cast<double>(counts.largest_mass);
  PointParts parts = {.loss_top = loss_.TopFor(counts.largest_loss),
                      .mass_top = mass_[cell].TopFor(counts.largest_mass),
                      .square_top = squared_mass_.TopFor(std::bit_cast<std::uint64_t>(largest_mass * largest_mass)),
                      .loss = {},
                      .mass = {},
                      .square = {}};
  kernels.split(columns, count, parts);
  loss_.AddParts(parts.loss);
  mass_[cell].AddParts(parts.mass);
  squared_mass_.AddParts(parts.square);
}

void PointTotals::Merge(const PointTotals& other) {
  num_pairs_ += other.num_pairs_;
  num_positive_ += other.num_positive_;
  num_negative_ += other.num_negative_;
  num_learning_ += other.num_learning_;
  num_saturated_ += other.num_saturated_;
  loss_.Merge(other.loss_);
  squared_mass_.Merge(other.squared_mass_);
  for (std::size_t cell = 0; cell < kNumCellGroups; ++cell) mass_[cell].Merge(other.mass_[cell]);
}

SweepPoint PointTotals::Report(double beta, double gamma, double gamma_over_beta, bool has_cells) const {
  ReproducibleSum mass;
  for (const ReproducibleSum& of_cell : mass_) mass.Merge(of_cell);
  SweepPoint point = {
      .beta = beta,
      .gamma = gamma,
      .gamma_over_beta = gamma_over_beta,
      .mean_loss = MeanOf(loss_, num_pairs_),
      .accuracy = ShareOf(num_positive_, num_pairs_),
      .active_share = ShareOf(num_negative_, num_pairs_),
      .learning_share = ShareOf(num_learning_, num_pairs_),
      .saturated_share = ShareOf(num_saturated_, num_pairs_),
      .gradient_mass = mass.Value(),
      .gradient_mass_by_cell = {},
      .effective_sample_size = EffectiveSampleSize(mass, squared_mass_),
  };
  for (std::size_t cell = 0; has_cells && cell < kNumCells; ++cell) {
    point.gradient_mass_by_cell.push_back(mass_[cell].Value());
  }
  return point;
}

}  // namespace prefscore
