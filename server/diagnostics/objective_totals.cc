// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/objective_totals.h"

#include <bit>
#include <cmath>
#include <limits>
#include <span>

#include "server/diagnostics/limits.h"

namespace prefscore {
namespace {

constexpr struct {
  const char* name;
  const char* unit;
} kNumberNames[] = {{"loss", ""},          {"logit", ""},           {"required_margin", "nats"},
                    {"chosen_reward", ""}, {"rejected_reward", ""}, {"reward_margin", ""}};

// What of an objective's values goes into a report.
constexpr ObjectiveColumn kReportedColumns[] = {kLoss, kLogit, kRequiredMargin, kChosenReward, kRejectedReward};

std::span<const double> First(const BlockColumn& column, std::size_t count) { return {column.data(), count}; }

// All values of an objective for the pairs of a block.
void EvaluateBlock(const PlannedObjective& planned, const SortedBlock& block, ObjectiveBlock& values) {
  const ColumnKernels& kernels = Kernels().columns;
  const std::size_t count = block.num_pairs();
  ObjectiveColumns columns;
  for (std::size_t i = 0; i < kNumObjectiveColumns; ++i) columns.columns[i] = values.values[i].data();
  planned.objective.Evaluate(block.Columns(), columns);
  kernels.compute_masses(columns.columns[kLossByPolicyChosenLogp], columns.columns[kLossByPolicyRejectedLogp], count,
                         values.gradient_mass.data());
  kernels.subtract(columns.columns[kChosenReward], columns.columns[kRejectedReward], count,
                   values.reward_margin.data());
  if (planned.has_gamma) {
    kernels.scale(block.reference_margins(), planned.objective.gamma(), count, values.scaled_reference_margin.data());
  }
}

// The columns whose sums and squares must be finite.
std::vector<const BlockColumn*> ReportedColumns(const PlannedObjective& planned, const ObjectiveBlock& values) {
  std::vector<const BlockColumn*> columns = {&values.gradient_mass};
  for (const ObjectiveColumn column : kReportedColumns) columns.push_back(&values.values[column]);
  if (planned.has_gamma) columns.push_back(&values.scaled_reference_margin);
  return columns;
}

bool AreAllUsable(const PlannedObjective& planned, const ObjectiveBlock& values, std::size_t count) {
  for (const BlockColumn* column : ReportedColumns(planned, values)) {
    const std::uint64_t largest = Kernels().sums.largest_magnitude(column->data(), count);
    if (largest > std::bit_cast<std::uint64_t>(kLargestMagnitude)) return false;
  }
  return true;
}

std::vector<bool> MarkUsable(const PlannedObjective& planned, const ObjectiveBlock& values, std::size_t count) {
  std::vector<bool> is_usable(count, true);
  for (const BlockColumn* column : ReportedColumns(planned, values)) {
    for (std::size_t i = 0; i < count; ++i) {
      if (!(std::fabs((*column)[i]) <= kLargestMagnitude)) is_usable[i] = false;
    }
  }
  return is_usable;
}

}  // namespace

ObjectiveTotals::ObjectiveTotals(const PlannedObjective& objective, const AnalysisOptions& options)
    : sweep_(objective.sweep.size()),
      temper_(objective.temper.size()),
      largest_masses_(PairList::Order::kDescending, options.num_listed_pairs),
      largest_required_margins_(PairList::Order::kDescending, options.num_listed_pairs) {
  if (objective.has_gamma) flip_.emplace(options.preference_probabilities.size());
}

void ObjectiveTotals::Add(const PlannedObjective& objective, const AnalysisPlan& plan, Workspace& workspace) {
  ObjectiveBlock& values = *workspace.objective;
  EvaluateBlock(objective, workspace.block, values);
  const std::size_t count = workspace.block.num_pairs();
  if (AreAllUsable(objective, values, count)) {
    AddUsable(objective, plan, workspace.block, values);
  } else if (const PairBlock usable = workspace.block.Marked(MarkUsable(objective, values, count)); usable.size() > 0) {
    SortedBlock block;
    block.Assign(usable);
    EvaluateBlock(objective, block, values);
    AddUsable(objective, plan, block, values);
  }
  AddPoints(objective, plan, workspace);
}

void ObjectiveTotals::AddUsable(const PlannedObjective& objective, const AnalysisPlan& plan, const SortedBlock& block,
                                ObjectiveBlock& values) {
  AddNumbers(plan, block, values);
  AddCells(plan, block, values);
  if (flip_.has_value()) AddFlip(plan, block, values);
  constexpr double kNoBound = -std::numeric_limits<double>::infinity();
  largest_masses_.OfferAll(block, values.gradient_mass.data(), kNoBound);
  largest_required_margins_.OfferAll(block, values.values[kRequiredMargin].data(), kNoBound);
}

void ObjectiveTotals::AddNumbers(const AnalysisPlan& plan, const SortedBlock& block, const ObjectiveBlock& values) {
  const ColumnKernels& kernels = Kernels().columns;
  const std::size_t count = block.num_pairs();
  for (std::size_t i = 0; i < std::size(kReportedColumns); ++i) {
    numbers_[i].Add(First(values.values[kReportedColumns[i]], count));
  }
  numbers_[kRewardMarginNumber].Add(First(values.reward_margin, count));
  squared_mass_.AddProducts(First(values.gradient_mass, count), First(values.gradient_mass, count));
  const double* const logits = values.values[kLogit].data();
  num_accurate_ += kernels.count_above(logits, count, 0.0);
  num_alike_ += kernels.count_same_sign(logits, block.policy_margins(), count);
  num_saturated_ += kernels.count_above(logits, count, plan.thresholds.saturation);
}

void ObjectiveTotals::AddCells(const AnalysisPlan& plan, const SortedBlock& block, const ObjectiveBlock& values) {
  const ColumnKernels& kernels = Kernels().columns;
  for (std::size_t cell = 0; cell < kNumCellGroups; ++cell) {
    const std::size_t begin = block.begin_of(cell);
    const std::size_t count = block.end_of(cell) - begin;
    if (count == 0) continue;
    CellTotals& totals = cells_[cell];
    const double* const logits = values.values[kLogit].data() + begin;
    totals.num_pairs += count;
    totals.num_active += kernels.count_below(logits, count, 0.0);
    totals.num_learning += kernels.count_below(logits, count, plan.thresholds.learning);
    totals.loss.Add({values.values[kLoss].data() + begin, count});
    totals.logit.Add({logits, count});
    totals.mass.Add({values.gradient_mass.data() + begin, count});
  }
}

void ObjectiveTotals::AddFlip(const AnalysisPlan& plan, const SortedBlock& block, ObjectiveBlock& values) {
  const ColumnKernels& kernels = Kernels().columns;
  const std::size_t count = block.num_pairs();
  const double* const margins = values.scaled_reference_margin.data();
  kernels.softplus(margins, count, values.threshold.data());
  flip_->threshold.Add(First(values.threshold, count));
  flip_->num_below_threshold += kernels.count_above(block.policy_margins(), count, 0.0);
  for (std::size_t i = 0; i < plan.preference_logits.size(); ++i) {
    flip_->num_ideal[i] += kernels.count_above(margins, count, -plan.preference_logits[i]);
  }
}

void ObjectiveTotals::AddPoints(const PlannedObjective& objective, const AnalysisPlan& plan, Workspace& workspace) {
  if (sweep_.empty() && temper_.empty()) return;
  const SortedBlock& block = workspace.block;
  const PairColumns pairs = block.Columns();
  for (std::size_t cell = 0; cell < kNumCellGroups; ++cell) {
    const std::size_t count = block.end_of(cell) - block.begin_of(cell);
    const std::size_t num_parts = (count + kPointBlock - 1) / kPointBlock;  // about equal ones
    for (std::size_t part = 0; part < num_parts; ++part) {
      const std::size_t begin = block.begin_of(cell) + part * count / num_parts;
      const std::size_t end = block.begin_of(cell) + (part + 1) * count / num_parts;
      const auto add = [&](const PlannedPoint& point, PointTotals& totals) {
        EvaluatePoint(point, pairs, begin, end, *workspace.point);
        totals.Add(*workspace.point, end - begin, cell, plan.thresholds);
      };
      for (std::size_t i = 0; i < sweep_.size(); ++i) add(objective.sweep[i], sweep_[i]);
      for (std::size_t i = 0; i < temper_.size(); ++i) add(objective.temper[i].point, temper_[i]);
    }
  }
}

void ObjectiveTotals::Merge(ObjectiveTotals&& other) {
  for (std::size_t i = 0; i < kNumNumbers; ++i) numbers_[i].Merge(other.numbers_[i]);
  for (std::size_t cell = 0; cell < kNumCellGroups; ++cell) {
    CellTotals& totals = cells_[cell];
    const CellTotals& added = other.cells_[cell];
    totals.num_pairs += added.num_pairs;
    totals.num_active += added.num_active;
    totals.num_learning += added.num_learning;
    totals.loss.Merge(added.loss);
    totals.logit.Merge(added.logit);
    totals.mass.Merge(added.mass);
  }
  squared_mass_.Merge(other.squared_mass_);
  num_accurate_ += other.num_accurate_;
  num_alike_ += other.num_alike_;
  num_saturated_ += other.num_saturated_;
  if (flip_.has_value()) {
    flip_->num_below_threshold += other.flip_->num_below_threshold;
    flip_->threshold.Merge(other.flip_->threshold);
    for (std::size_t i = 0; i < flip_->num_ideal.size(); ++i) flip_->num_ideal[i] += other.flip_->num_ideal[i];
  }
  for (std::size_t i = 0; i < sweep_.size(); ++i) sweep_[i].Merge(other.sweep_[i]);
  for (std::size_t i = 0; i < temper_.size(); ++i) temper_[i].Merge(other.temper_[i]);
  largest_masses_.Merge(std::move(other.largest_masses_));
  largest_required_margins_.Merge(std::move(other.largest_required_margins_));
}

std::vector<LearningCell> ObjectiveTotals::LearningTable(double gradient_mass) const {
  std::uint64_t num_with_reference = 0;
  std::array<std::uint64_t, kNumRankings> num_by_reference{};
  for (std::size_t cell = 0; cell < kNumCells; ++cell) {
    num_with_reference += cells_[cell].num_pairs;
    num_by_reference[static_cast<std::size_t>(ReferenceRanking(cell))] += cells_[cell].num_pairs;
  }
  std::vector<LearningCell> table;
  for (std::size_t cell = 0; cell < kNumCells; ++cell) {
    const CellTotals& totals = cells_[cell];
    const double mass = totals.mass.Value();
    table.push_back({
        .policy = PolicyRanking(cell),
        .reference = ReferenceRanking(cell),
        .num_pairs = totals.num_pairs,
        .share = ShareOf(totals.num_pairs, num_with_reference),
        .mean_loss = MeanOf(totals.loss, totals.num_pairs),
        .mean_logit = MeanOf(totals.logit, totals.num_pairs),
        .gradient_mass = mass,
        .gradient_mass_share = gradient_mass > 0 ? mass / gradient_mass : 0.0,
        .active_share = ShareOf(totals.num_active, totals.num_pairs),
        .learning_share = ShareOf(totals.num_learning, totals.num_pairs),
        .verdict_large_gamma = VerdictAtLargeGamma(cell),
        .verdict_zero_gamma = VerdictAtZeroGamma(cell),
        .is_diagonal = IsDiagonal(cell),
        .num_initial_pairs = IsDiagonal(cell) ? num_by_reference[static_cast<std::size_t>(ReferenceRanking(cell))] : 0,
    });
  }
  return table;
}

ObjectiveReport ObjectiveTotals::Report(const PlannedObjective& planned, const AnalysisPlan& plan,
                                        bool has_cells) const {
  const Objective& objective = planned.objective;
  const std::uint64_t num_pairs = numbers_[kLossNumber].count();
  ReproducibleSum mass;
  for (const CellTotals& totals : cells_) mass.Merge(totals.mass);
  ObjectiveReport report = {
      .label = objective.label(),
      .name = objective.name(),
      .beta = objective.beta(),
      .gamma = objective.gamma(),
      .num_pairs = num_pairs,
      .mean_loss = numbers_[kLossNumber].Mean(),
      .accuracy = ShareOf(num_accurate_, num_pairs),
      .reward_likelihood_agreement = ShareOf(num_alike_, num_pairs),
      .gradient_mass = mass.Value(),
      .effective_sample_size = EffectiveSampleSize(mass, squared_mass_),
      .saturated_share = ShareOf(num_saturated_, num_pairs),
  };
  if (has_cells) report.learning_table = LearningTable(report.gradient_mass);
  for (std::size_t i = 0; i < sweep_.size(); ++i) {
    const PlannedPoint& point = planned.sweep[i];
    report.sweep.push_back(sweep_[i].Report(point.beta, point.gamma, planned.sweep_ratios[i], has_cells));
  }
  for (std::size_t i = 0; i < temper_.size(); ++i) {
    const auto& [exponent, point] = planned.temper[i];
    report.temper.push_back({exponent, objective.gamma() / exponent,
                             temper_[i].Report(point.beta, point.gamma, point.gamma / point.beta, has_cells)});
  }
  if (flip_.has_value()) {
    FlipReport& flip = report.flip.emplace();
    flip.below_threshold_share = ShareOf(flip_->num_below_threshold, num_pairs);
    flip.threshold = flip_->threshold.Report("threshold", "");
    for (std::size_t i = 0; i < flip_->num_ideal.size(); ++i) {
      flip.ideal_accuracies.push_back(
          {plan.options.preference_probabilities[i], ShareOf(flip_->num_ideal[i], num_pairs)});
    }
  }
  for (std::size_t i = 0; i < kNumNumbers; ++i) {
    const bool is_mean = i == kRequiredMarginNumber && objective.is_per_token();
    report.distributions.push_back(
        numbers_[i].Report(kNumberNames[i].name, is_mean ? "nats per token" : kNumberNames[i].unit));
  }
  report.largest_gradient_masses = largest_masses_.Report();
  report.largest_required_margins = largest_required_margins_.Report();
  return report;
}

}  // namespace prefscore
