// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/slice_totals.h"

#include <bit>
#include <cmath>
#include <limits>
#include <span>

namespace prefscore {
namespace {

constexpr struct {
  const char* name;
  const char* unit;
} kNumberNames[] = {
    {"policy_margin", "nats"},
    {"reference_margin", "nats"},
    {"chosen_logratio", "nats"},
    {"rejected_logratio", "nats"},
    {"policy_chosen_logp", "nats"},
    {"policy_rejected_logp", "nats"},
    {"num_chosen_tokens", "tokens"},
    {"num_rejected_tokens", "tokens"},
    {"policy_margin_per_token", "nats per token"},
    {"reference_margin_per_token", "nats per token"},
};

bool AreAllKnown(const double* values, std::size_t count) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return Kernels().sums.largest_magnitude(values, count) <= std::bit_cast<std::uint64_t>(kInfinity);
}

void AddKnown(const double* values, std::size_t count, DistributionTotals& totals) {
  if (AreAllKnown(values, count)) return totals.Add({values, count});
  std::vector<double> known;
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isnan(values[i])) known.push_back(values[i]);
  }
  totals.Add(known);
}

}  // namespace

SliceTotals::SliceTotals(const AnalysisPlan& plan)
    : most_negative_margins_(PairList::Order::kAscending, plan.options.num_listed_pairs),
      ties_(PairList::Order::kById, plan.options.num_listed_pairs) {
  for (const PlannedObjective& objective : plan.objectives) objectives_.emplace_back(objective, plan.options);
}

void SliceTotals::Add(const AnalysisPlan& plan, Workspace& workspace) {
  const SortedBlock& block = workspace.block;
  AddRanking(block);
  AddNumbers(block);

  const double* const num_chosen = block.column(kNumChosenTokens);
  const double* const num_rejected = block.column(kNumRejectedTokens);
  if (AreAllKnown(num_chosen, block.num_pairs()) && AreAllKnown(num_rejected, block.num_pairs())) {
    AddLengths(block, *workspace.temporary);
  } else {
    std::vector<bool> has_lengths(block.num_pairs());
    for (std::size_t i = 0; i < has_lengths.size(); ++i) {
      has_lengths[i] = !std::isnan(num_chosen[i]) && !std::isnan(num_rejected[i]);
    }
    const PairBlock with_lengths = block.Marked(has_lengths);
    if (with_lengths.size() > 0) {
      SortedBlock sorted;
      sorted.Assign(with_lengths);
      AddLengths(sorted, *workspace.temporary);
    }
  }

  most_negative_margins_.OfferAll(block, block.policy_margins(), 0.0);
  for (std::size_t i = 0; i < objectives_.size(); ++i) objectives_[i].Add(plan.objectives[i], plan, workspace);
}

void SliceTotals::AddRanking(const SortedBlock& block) {
  const ColumnKernels& kernels = Kernels().columns;
  const std::size_t count = block.num_pairs();
  const std::size_t num_with_reference = block.num_with_reference();
  for (std::size_t cell = 0; cell < kNumCellGroups; ++cell) {
    num_by_cell_[cell] += block.end_of(cell) - block.begin_of(cell);
  }
  const std::size_t num_right = kernels.count_above(block.policy_margins(), count, 0.0);
  const std::size_t num_wrong = kernels.count_below(block.policy_margins(), count, 0.0);
  num_policy_accurate_ += num_right;
  num_policy_ties_ += count - num_right - num_wrong;
  num_chosen_fell_ += kernels.count_below(block.chosen_logratios(), num_with_reference, 0.0);
  num_both_fell_ +=
      kernels.count_both_below(block.chosen_logratios(), block.rejected_logratios(), num_with_reference, 0.0);

  std::size_t num_ties = count - num_right - num_wrong;
  for (std::size_t cell = 0; cell < kNumCells; ++cell) {
    if (HasTie(cell)) num_ties += block.end_of(cell) - block.begin_of(cell);
  }
  if (num_ties > 0) AddTies(block);
}

void SliceTotals::AddTies(const SortedBlock& block) {
  for (std::size_t i = 0; i < block.num_pairs(); ++i) {
    const double margin = block.policy_margins()[i];
    if (margin == 0 || block.reference_margins()[i] == 0) ties_.Offer(block, i, margin);
  }
}

void SliceTotals::AddNumbers(const SortedBlock& block) {
  const std::size_t count = block.num_pairs();
  const std::size_t num_with_reference = block.num_with_reference();
  numbers_[kPolicyMargin].Add({block.policy_margins(), count});
  numbers_[kReferenceMargin].Add({block.reference_margins(), num_with_reference});
  numbers_[kChosenLogratio].Add({block.chosen_logratios(), num_with_reference});
  numbers_[kRejectedLogratio].Add({block.rejected_logratios(), num_with_reference});
  numbers_[kPolicyChosen].Add({block.column(kPolicyChosenLogp), count});
  numbers_[kPolicyRejected].Add({block.column(kPolicyRejectedLogp), count});
  AddKnown(block.column(kNumChosenTokens), count, numbers_[kChosenTokens]);
  AddKnown(block.column(kNumRejectedTokens), count, numbers_[kRejectedTokens]);
}

void SliceTotals::AddLengths(const SortedBlock& block, std::array<BlockColumn, 3>& temporary) {
  const ColumnKernels& kernels = Kernels().columns;
  const std::size_t count = block.num_pairs();
  const std::size_t num_with_reference = block.num_with_reference();
  const double* const num_chosen = block.column(kNumChosenTokens);
  const double* const num_rejected = block.column(kNumRejectedTokens);
  auto& [differences, policy_per_token, reference_per_token] = temporary;
  kernels.subtract(num_chosen, num_rejected, count, differences.data());
  kernels.compute_margins_per_token(block.column(kPolicyChosenLogp), block.column(kPolicyRejectedLogp), num_chosen,
                                    num_rejected, count, policy_per_token.data());
  kernels.compute_margins_per_token(block.column(kReferenceChosenLogp), block.column(kReferenceRejectedLogp),
                                    num_chosen, num_rejected, num_with_reference, reference_per_token.data());
  const LengthColumns columns = {
      .length_differences = {differences.data(), count},
      .policy_margins = {block.policy_margins(), count},
      .policy_margins_per_token = {policy_per_token.data(), count},
      .reference_margins = {block.reference_margins(), num_with_reference},
      .reference_margins_per_token = {reference_per_token.data(), num_with_reference},
  };
  lengths_.Add(columns);
  numbers_[kPolicyMarginPerToken].Add(columns.policy_margins_per_token);
  numbers_[kReferenceMarginPerToken].Add(columns.reference_margins_per_token);
}

void SliceTotals::Merge(SliceTotals&& other) {
  for (std::size_t cell = 0; cell < kNumCellGroups; ++cell) num_by_cell_[cell] += other.num_by_cell_[cell];
  num_policy_accurate_ += other.num_policy_accurate_;
  num_policy_ties_ += other.num_policy_ties_;
  num_chosen_fell_ += other.num_chosen_fell_;
  num_both_fell_ += other.num_both_fell_;
  for (std::size_t i = 0; i < kNumNumbers; ++i) numbers_[i].Merge(other.numbers_[i]);
  lengths_.Merge(other.lengths_);
  for (std::size_t i = 0; i < objectives_.size(); ++i) objectives_[i].Merge(std::move(other.objectives_[i]));
  most_negative_margins_.Merge(std::move(other.most_negative_margins_));
  ties_.Merge(std::move(other.ties_));
}

RankingReport SliceTotals::RankingOfPairs(std::uint64_t num_pairs, std::uint64_t num_with_reference) const {
  std::uint64_t num_alike = 0;
  std::array<std::uint64_t, kNumRankings> by_reference{};
  for (std::size_t cell = 0; cell < kNumCells; ++cell) {
    by_reference[static_cast<std::size_t>(ReferenceRanking(cell))] += num_by_cell_[cell];
    if (IsDiagonal(cell)) num_alike += num_by_cell_[cell];
  }
  const auto [num_right, num_tie, num_wrong] = by_reference;
  return {
      .policy_accuracy = ShareOf(num_policy_accurate_, num_pairs),
      .reference_accuracy = ShareOf(num_right, num_with_reference),
      .pessimistic_share = ShareOf(num_wrong, num_with_reference),
      .agreement = ShareOf(num_alike, num_with_reference),
      .both_fell_share = ShareOf(num_both_fell_, num_with_reference),
      .chosen_fell_share = ShareOf(num_chosen_fell_, num_with_reference),
      .policy_tie_share = ShareOf(num_policy_ties_, num_pairs),
      .reference_tie_share = ShareOf(num_tie, num_with_reference),
  };
}

SliceReport SliceTotals::Report(const AnalysisPlan& plan) const {
  SliceReport report;
  report.num_pairs = numbers_[kPolicyMargin].count();
  report.num_pairs_with_reference = numbers_[kReferenceMargin].count();
  report.ranking = RankingOfPairs(report.num_pairs, report.num_pairs_with_reference);
  report.length = lengths_.Report();
  for (std::size_t i = 0; i < kNumNumbers; ++i) {
    report.distributions.push_back(numbers_[i].Report(kNumberNames[i].name, kNumberNames[i].unit));
  }
  for (std::size_t i = 0; i < objectives_.size(); ++i) {
    report.objectives.push_back(objectives_[i].Report(plan.objectives[i], plan, report.num_pairs_with_reference > 0));
  }
  report.most_negative_margins = most_negative_margins_.Report();
  report.ties = ties_.Report();
  return report;
}

}  // namespace prefscore
