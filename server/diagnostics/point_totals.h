// SPDX-License-Identifier: Apache-2.0
// An objective at one point of a sweep, over the pairs of a slice: sums of losses and gradient masses, counts of
// logits.
#pragma once

#include <array>
#include <cstdint>

#include "server/diagnostics/analysis_plan.h"
#include "server/diagnostics/learning_cells.h"
#include "server/diagnostics/report.h"
#include "server/diagnostics/reproducible_sum.h"

namespace prefscore {

// (sum of masses)^2 / sum of their squares. Masses below 1e-125, whose squares are lost, count as none.
double EffectiveSampleSize(const ReproducibleSum& masses, const ReproducibleSum& squared_masses);

// Shares and means: 0 of nothing.
double ShareOf(std::uint64_t part, std::uint64_t whole);
double MeanOf(const ReproducibleSum& sum, std::uint64_t count);

// A few pairs of one cell on their way through an objective; fits the first cache.
inline constexpr std::size_t kPointBlock = 256;
struct PointBlock {
  std::array<double, kPointBlock> loss;
  std::array<double, kPointBlock> logit;
  std::array<double, kPointBlock> by_policy_chosen;
  std::array<double, kPointBlock> by_policy_rejected;
};

class PointTotals {
 public:
  // Values of `count` pairs of one cell, which are overwritten. Pairs with a value that is NaN or beyond
  // kLargestMagnitude are left out.
  void Add(PointBlock& values, std::size_t count, std::size_t cell, const LogitThresholds& thresholds);
  void Merge(const PointTotals& other);

  // has_cells: the slice has pairs with reference.
  SweepPoint Report(double beta, double gamma, double gamma_over_beta, bool has_cells) const;

 private:
  std::uint64_t num_pairs_ = 0;
  std::uint64_t num_positive_ = 0;
  std::uint64_t num_negative_ = 0;
  std::uint64_t num_learning_ = 0;
  std::uint64_t num_saturated_ = 0;
  ReproducibleSum loss_;
  ReproducibleSum squared_mass_;
  std::array<ReproducibleSum, kNumCellGroups> mass_;
};

// The values of `point` for pairs [begin, end) of `pairs`, at most kPointBlock; behind them `values` may hold anything.
void EvaluatePoint(const PlannedPoint& point, const PairColumns& pairs, std::size_t begin, std::size_t end,
                   PointBlock& values);

}  // namespace prefscore
