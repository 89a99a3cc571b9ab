// SPDX-License-Identifier: Apache-2.0
// How long a forward pass takes:
//
//   seconds = a * tokens + b * attended positions + c * head rows + d
//
// a is the matrix products, b the attention, c the language-model head, d what every pass of a model costs (reading its
// weights, launching its work). The four are fitted per model from timed passes and never negative; since a machine's
// speed changes, one factor for all models follows measured over predicted seconds. Plain arithmetic, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace prefscore {

// What a forward pass, or one group's part of it, has to do. Sums are taken over groups.
struct ForwardWork {
  std::int64_t num_tokens = 0;              // rows that go through the layers
  std::int64_t num_attended_positions = 0;  // over all rows: how many positions a row sees, itself included
  std::int64_t num_head_rows = 0;           // rows that predict a completion's token

  ForwardWork& operator+=(const ForwardWork& other);
};

struct CostCoefficients {
  double seconds_per_token = 0;
  double seconds_per_attended_position = 0;
  double seconds_per_head_row = 0;
  double seconds_per_forward = 0;

  // Without seconds_per_forward.
  double MarginalSeconds(const ForwardWork& work) const;
};

// A forward pass that was timed.
struct CostSample {
  ForwardWork work;
  double seconds = 0;
};

// The non-negative coefficients with the least sum of squared relative errors; all 0 without samples. Where samples
// cannot tell two coefficients apart, fewer of them are used.
CostCoefficients FitCost(std::span<const CostSample> samples);

// Set of weights whose passes cost the same; only its identity counts.
using ModelKey = const void*;

// One model's part of a job or batch.
struct ModelWork {
  ModelKey model = nullptr;
  ForwardWork work;
};

// Not thread-safe.
class CostModel {
 public:
  void SetCoefficients(ModelKey model, const CostCoefficients& coefficients);

  // Of one pass per model that occurs. 0 where nothing is known yet of a model.
  double Seconds(std::span<const ModelWork> works) const;
  // The part of Seconds that grows with the work.
  double MarginalSeconds(std::span<const ModelWork> works) const;
  // The rest: of one pass of each of these models.
  double FixedSeconds(std::span<const ModelKey> models) const;

  // A batch took `seconds`. Moves the factor; models without coefficients get seconds per token from it.
  void Observe(std::span<const ModelWork> works, double seconds);

  // Measured over predicted seconds of recent batches, large ones counting more; 1 at first.
  double correction() const { return correction_; }

 private:
  std::map<ModelKey, CostCoefficients> coefficients_;
  double correction_ = 1;
  double recent_measured_seconds_ = 0;   // decaying sums
  double recent_predicted_seconds_ = 0;
};

}  // namespace prefscore
