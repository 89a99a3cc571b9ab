// SPDX-License-Identifier: Apache-2.0
// The part of a slice's report about one objective, while pairs come in. A function of the set of pairs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "server/diagnostics/analysis_plan.h"
#include "server/diagnostics/distribution.h"
#include "server/diagnostics/learning_cells.h"
#include "server/diagnostics/pair_list.h"
#include "server/diagnostics/point_totals.h"
#include "server/diagnostics/report.h"
#include "server/diagnostics/workspace.h"

namespace prefscore {

class ObjectiveTotals {
 public:
  ObjectiveTotals(const PlannedObjective& objective, const AnalysisOptions& options);

  // Adds the pairs of workspace.block. `objective` and `plan` are the same in all calls, as below.
  void Add(const PlannedObjective& objective, const AnalysisPlan& plan, Workspace& workspace);
  void Merge(ObjectiveTotals&& other);
  // has_cells: the slice has pairs with reference.
  ObjectiveReport Report(const PlannedObjective& objective, const AnalysisPlan& plan, bool has_cells) const;

 private:
  enum Number {
    kLossNumber,
    kLogitNumber,
    kRequiredMarginNumber,
    kChosenRewardNumber,
    kRejectedRewardNumber,
    kRewardMarginNumber,
    kNumNumbers
  };

  struct CellTotals {
    std::uint64_t num_pairs = 0;
    std::uint64_t num_active = 0;
    std::uint64_t num_learning = 0;
    ReproducibleSum loss;
    ReproducibleSum logit;
    ReproducibleSum mass;
  };

  // When a pair is ranked right; of objectives with gamma.
  struct FlipTotals {
    explicit FlipTotals(std::size_t num_probabilities) : num_ideal(num_probabilities) {}

    std::uint64_t num_below_threshold = 0;
    DistributionTotals threshold;
    std::vector<std::uint64_t> num_ideal;  // [preference_probabilities]
  };

  // REQUIRES: no value that is NaN or beyond kLargestMagnitude; Add leaves such pairs out.
  void AddUsable(const PlannedObjective& objective, const AnalysisPlan& plan, const SortedBlock& block,
                 ObjectiveBlock& values);
  void AddNumbers(const AnalysisPlan& plan, const SortedBlock& block, const ObjectiveBlock& values);
  void AddCells(const AnalysisPlan& plan, const SortedBlock& block, const ObjectiveBlock& values);
  void AddFlip(const AnalysisPlan& plan, const SortedBlock& block, ObjectiveBlock& values);
  void AddPoints(const PlannedObjective& objective, const AnalysisPlan& plan, Workspace& workspace);
  std::vector<LearningCell> LearningTable(double gradient_mass) const;

  std::array<DistributionTotals, kNumNumbers> numbers_;
  std::array<CellTotals, kNumCellGroups> cells_;
  ReproducibleSum squared_mass_;
  std::uint64_t num_accurate_ = 0;
  std::uint64_t num_alike_ = 0;
  std::uint64_t num_saturated_ = 0;
  std::optional<FlipTotals> flip_;
  std::vector<PointTotals> sweep_;
  std::vector<PointTotals> temper_;
  PairList largest_masses_;
  PairList largest_required_margins_;
};

}  // namespace prefscore
