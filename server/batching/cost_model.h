// SPDX-License-Identifier: Apache-2.0
// How long a forward pass takes:
//
//   seconds = a * tokens + b * attended positions + c * head rows + d
//
// a is the matrix products, b the attention, c the language-model head, d what every pass of a model costs (reading its
// weights, launching its work). The four are never negative. They are fitted per model from probes, which differ in shape,
// and from recent passes, which are of the size that matters; since a machine's speed changes, a factor per model follows
// measured over predicted seconds meanwhile. Plain arithmetic, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "absl/container/inlined_vector.h"

namespace prefscore {

// What a forward pass, or one group's part of it, has to do. Sums are taken over groups.
struct ForwardWork {
  std::int64_t num_tokens = 0;              // rows that go through the layers
  std::int64_t num_attended_positions = 0;  // over all rows: how many positions a row sees, itself included
  std::int64_t num_head_rows = 0;           // rows that predict a completion's token

  ForwardWork& operator+=(const ForwardWork& other);
  ForwardWork& operator-=(const ForwardWork& other);
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

// Work summed by model, whatever is known of the models' costs meanwhile.
class WorkTotals {
 public:
  void Add(std::span<const ModelWork> works);
  void Subtract(std::span<const ModelWork> works);  // that were added

  std::span<const ModelWork> works() const { return works_; }  // one per model that occurred

 private:
  absl::InlinedVector<ModelWork, 2> works_;
};

// A pass that was timed, and what it computed: less than what was asked, where equal things were asked.
struct PassTime {
  ModelKey model = nullptr;
  ForwardWork work;
  double seconds = 0;
};

// Not thread-safe.
class CostModel {
 public:
  // Passes made to tell the terms apart; they stay. At least one.
  void SetProbes(ModelKey model, std::vector<CostSample> probes);
  void Observe(const PassTime& pass);

  // Of one pass per model that occurs. 0 where nothing is known yet of a model.
  double Seconds(std::span<const ModelWork> works) const;
  // The part of Seconds that grows with the work.
  double MarginalSeconds(std::span<const ModelWork> works) const;
  // The rest: of one pass of each of these models.
  double FixedSeconds(std::span<const ModelKey> models) const;

  // Without the correction; all 0 where nothing is known yet.
  CostCoefficients CoefficientsOf(ModelKey model) const;
  // Measured over fitted seconds of recent passes, the last and the large ones counting more; 1 where there were none.
  double CorrectionOf(ModelKey model) const;

 private:
  struct Samples {
    std::vector<CostSample> probes;
    std::deque<CostSample> recent;
    CostCoefficients fit;
    int num_since_fit = 0;
    double correction = 1;
  };

  static void Fit(Samples& samples);
  static void Correct(Samples& samples);

  std::map<ModelKey, Samples> models_;
};

}  // namespace prefscore
