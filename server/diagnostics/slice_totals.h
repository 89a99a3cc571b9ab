// SPDX-License-Identifier: Apache-2.0
// A slice of a report while pairs come in: rankings, lengths, distributions, lists and its objectives. A function of
// the set of pairs.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "server/diagnostics/analysis_plan.h"
#include "server/diagnostics/distribution.h"
#include "server/diagnostics/length_totals.h"
#include "server/diagnostics/objective_totals.h"
#include "server/diagnostics/pair_list.h"
#include "server/diagnostics/report.h"
#include "server/diagnostics/workspace.h"

namespace prefscore {

class SliceTotals {
 public:
  explicit SliceTotals(const AnalysisPlan& plan);

  // Adds the pairs of workspace.block, all valid for all objectives. `plan` is the same in all calls, as below.
  void Add(const AnalysisPlan& plan, Workspace& workspace);
  void Merge(SliceTotals&& other);
  // Without label.
  SliceReport Report(const AnalysisPlan& plan) const;

 private:
  // In the order of the report.
  enum Number {
    kPolicyMargin,
    kReferenceMargin,
    kChosenLogratio,
    kRejectedLogratio,
    kPolicyChosen,
    kPolicyRejected,
    kChosenTokens,
    kRejectedTokens,
    kPolicyMarginPerToken,
    kReferenceMarginPerToken,
    kNumNumbers,
  };

  void AddRanking(const SortedBlock& block);
  void AddNumbers(const SortedBlock& block);
  // Of a block whose pairs all have both token counts.
  void AddLengths(const SortedBlock& block, std::array<BlockColumn, 3>& temporary);
  void AddTies(const SortedBlock& block);
  RankingReport RankingOfPairs(std::uint64_t num_pairs, std::uint64_t num_with_reference) const;

  std::array<std::uint64_t, kNumCellGroups> num_by_cell_{};
  std::uint64_t num_policy_accurate_ = 0;
  std::uint64_t num_policy_ties_ = 0;
  std::uint64_t num_chosen_fell_ = 0;
  std::uint64_t num_both_fell_ = 0;
  std::array<DistributionTotals, kNumNumbers> numbers_;
  LengthTotals lengths_;
  std::vector<ObjectiveTotals> objectives_;
  PairList most_negative_margins_;
  PairList ties_;
};

}  // namespace prefscore
