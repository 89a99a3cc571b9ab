// SPDX-License-Identifier: Apache-2.0
#include "server/batching/cost_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <set>
#include <utility>

namespace prefscore {
namespace {

constexpr int kNumTerms = 4;
constexpr double kSmallestPivot = 1e-9;  // of a normal matrix whose diagonal is 1: below, terms cannot be told apart
constexpr double kSmallestGain = 1e-9;   // of the error: less is rounding, and the set tried first will do
constexpr double kMemory = 0.9;          // what a pass leaves of the weight of those before it
constexpr std::size_t kMaxRecent = 32;   // passes of a model that its fit rests on, beside the probes
constexpr int kBatchesPerFit = 8;
constexpr double kMinCorrection = 0.05;
constexpr double kMaxCorrection = 20;

using Terms = std::array<double, kNumTerms>;

Terms TermsOf(const ForwardWork& work) {
  return {static_cast<double>(work.num_tokens), static_cast<double>(work.num_attended_positions),
          static_cast<double>(work.num_head_rows), 1.0};
}

// Least squares by the normal equations over the terms in `columns`; nothing where they are not independent.
std::optional<Terms> Solve(const std::vector<Terms>& rows, const std::vector<int>& columns) {
  const std::size_t size = columns.size();
  std::vector<std::vector<double>> matrix(size, std::vector<double>(size + 1, 0.0));
  for (const Terms& row : rows) {
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; j < size; ++j) matrix[i][j] += row[columns[i]] * row[columns[j]];
      matrix[i][size] += row[columns[i]];  // every relative target is 1
    }
  }
  // Scaled to a diagonal of 1, so that one threshold fits all.
  std::vector<double> scale(size);
  for (std::size_t i = 0; i < size; ++i) {
    if (matrix[i][i] <= 0) return std::nullopt;
    scale[i] = 1 / std::sqrt(matrix[i][i]);
  }
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) matrix[i][j] *= scale[i] * scale[j];
    matrix[i][size] *= scale[i];
  }
  for (std::size_t pivot = 0; pivot < size; ++pivot) {  // symmetric and positive: the diagonal will do as pivots
    if (matrix[pivot][pivot] < kSmallestPivot) return std::nullopt;
    for (std::size_t i = 0; i < size; ++i) {
      if (i == pivot) continue;
      const double factor = matrix[i][pivot] / matrix[pivot][pivot];
      for (std::size_t j = pivot; j <= size; ++j) matrix[i][j] -= factor * matrix[pivot][j];
    }
  }
  Terms solution{};
  for (std::size_t i = 0; i < size; ++i) solution[columns[i]] = scale[i] * matrix[i][size] / matrix[i][i];
  return solution;
}

double SquaredError(const std::vector<Terms>& rows, const Terms& solution) {
  double sum = 0;
  for (const Terms& row : rows) {
    double predicted = 0;
    for (int term = 0; term < kNumTerms; ++term) predicted += row[term] * solution[term];
    sum += (predicted - 1) * (predicted - 1);
  }
  return sum;
}

}  // namespace

ForwardWork& ForwardWork::operator+=(const ForwardWork& other) {
  num_tokens += other.num_tokens;
  num_attended_positions += other.num_attended_positions;
  num_head_rows += other.num_head_rows;
  return *this;
}

ForwardWork& ForwardWork::operator-=(const ForwardWork& other) {
  num_tokens -= other.num_tokens;
  num_attended_positions -= other.num_attended_positions;
  num_head_rows -= other.num_head_rows;
  return *this;
}

void WorkTotals::Add(std::span<const ModelWork> works) {
  for (const ModelWork& work : works) {
    auto found = std::find_if(works_.begin(), works_.end(), [&](const auto& each) { return each.model == work.model; });
    if (found == works_.end()) found = works_.insert(found, {work.model, {}});
    found->work += work.work;
  }
}

void WorkTotals::Subtract(std::span<const ModelWork> works) {
  for (const ModelWork& work : works) {
    std::find_if(works_.begin(), works_.end(), [&](const auto& each) { return each.model == work.model; })->work -=
        work.work;
  }
}

double CostCoefficients::MarginalSeconds(const ForwardWork& work) const {
  return seconds_per_token * static_cast<double>(work.num_tokens) +
         seconds_per_attended_position * static_cast<double>(work.num_attended_positions) +
         seconds_per_head_row * static_cast<double>(work.num_head_rows);
}

// The best non-negative solution is an ordinary one over the terms that it uses: with four terms, all 15 sets are tried.
CostCoefficients FitCost(std::span<const CostSample> samples) {
  std::vector<Terms> rows;  // divided by the sample's seconds, so that errors are relative
  for (const CostSample& sample : samples) {
    if (!(sample.seconds > 0)) continue;
    Terms row = TermsOf(sample.work);
    for (double& term : row) term /= sample.seconds;
    rows.push_back(row);
  }
  Terms best{};
  double least_error = static_cast<double>(rows.size());  // that of all zeros
  for (int set = 1; set < 1 << kNumTerms; ++set) {
    std::vector<int> columns;
    for (int term = 0; term < kNumTerms; ++term) {
      if (set & 1 << term) columns.push_back(term);
    }
    const auto solution = Solve(rows, columns);
    if (!solution || *std::min_element(solution->begin(), solution->end()) < 0) continue;
    const double error = SquaredError(rows, *solution);
    if (error < least_error - kSmallestGain) {
      least_error = error;
      best = *solution;
    }
  }
  return {best[0], best[1], best[2], best[3]};
}

void CostModel::SetProbes(ModelKey model, std::vector<CostSample> probes) {
  Samples& samples = models_[model];
  samples.probes = std::move(probes);
  Fit(samples);
}

void CostModel::Fit(Samples& samples) {
  std::vector<CostSample> all = samples.probes;
  all.insert(all.end(), samples.recent.begin(), samples.recent.end());
  samples.fit = FitCost(all);
  samples.num_since_fit = 0;
  Correct(samples);
}

void CostModel::Correct(Samples& samples) {
  double measured = 0;
  double fitted = 0;
  for (const CostSample& sample : samples.recent) {  // oldest first
    measured = kMemory * measured + sample.seconds;
    fitted = kMemory * fitted + samples.fit.MarginalSeconds(sample.work) + samples.fit.seconds_per_forward;
  }
  samples.correction = fitted > 0 ? std::clamp(measured / fitted, kMinCorrection, kMaxCorrection) : 1;
}

double CostModel::MarginalSeconds(std::span<const ModelWork> works) const {
  double seconds = 0;
  for (const ModelWork& work : works) {
    const auto found = models_.find(work.model);
    if (found == models_.end()) continue;
    seconds += found->second.correction * found->second.fit.MarginalSeconds(work.work);
  }
  return seconds;
}

double CostModel::FixedSeconds(std::span<const ModelKey> models) const {
  double seconds = 0;
  for (const ModelKey model : models) {
    const auto found = models_.find(model);
    if (found != models_.end()) seconds += found->second.correction * found->second.fit.seconds_per_forward;
  }
  return seconds;
}

double CostModel::Seconds(std::span<const ModelWork> works) const {
  std::set<ModelKey> models;
  for (const ModelWork& work : works) models.insert(work.model);
  const std::vector<ModelKey> distinct(models.begin(), models.end());
  return MarginalSeconds(works) + FixedSeconds(distinct);
}

CostCoefficients CostModel::CoefficientsOf(ModelKey model) const {
  const auto found = models_.find(model);
  return found == models_.end() ? CostCoefficients{} : found->second.fit;
}

double CostModel::CorrectionOf(ModelKey model) const {
  const auto found = models_.find(model);
  return found == models_.end() ? 1 : found->second.correction;
}

void CostModel::Observe(const PassTime& pass) {
  if (!(pass.seconds > 0)) return;
  Samples& samples = models_[pass.model];
  samples.recent.push_back({.work = pass.work, .seconds = pass.seconds});
  if (samples.recent.size() > kMaxRecent) samples.recent.pop_front();
  const bool is_new = samples.probes.empty() && samples.recent.size() == 1;
  if (is_new || ++samples.num_since_fit == kBatchesPerFit) return Fit(samples);
  Correct(samples);
}

}  // namespace prefscore
