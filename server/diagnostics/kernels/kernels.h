// SPDX-License-Identifier: Apache-2.0
// Loops over blocks of numbers, compiled once per instruction set. Both give the same bits: what they sum, they sum
// exactly. Plain pointers, nothing is owned; a block has at most kMaxBlock numbers.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace prefscore {

inline constexpr size_t kMaxBlock = 1024;

// Of a reproducible sum.
inline constexpr int kNumLevels = 3;
inline constexpr int kBitsPerLevel = 40;

struct Extremes {
  double minimum;
  double maximum;
};

// Of a quantile sketch's buckets: the parts of an octave, and the exponent of the lowest bucket's lower bound.
inline constexpr int kBucketsPerOctave = 128;
inline constexpr int kLowestExponent = -30;

struct SumKernels {
  // Bits of the largest magnitude, as an integer: those of infinity and NaN are above those of all numbers. 0 of
  // nothing.
  uint64_t (*largest_magnitude)(const double* values, size_t count);
  // The same of xs[i] * ys[i].
  uint64_t (*largest_product)(const double* xs, const double* ys, size_t count);
  // REQUIRES: count > 0, no NaN. Of 0 and -0 either.
  Extremes (*extremes)(const double* values, size_t count);
  // Adds the numbers' parts on the levels top, top - 1, ... to `parts`, in quanta (splitter.h).
  void (*split)(const double* values, size_t count, int top, int64_t* parts);
  // The same of xs[i] * ys[i], without rounding them.
  void (*split_products)(const double* xs, const double* ys, size_t count, int top, int64_t* parts);
  // Each value's bucket in a quantile sketch: 1, 2, ... of positive values, -1, -2, ... of negative ones, and 0 of
  // those whose magnitude is below 2^kLowestExponent.
  void (*find_buckets)(const double* values, size_t count, int32_t* buckets);
};

struct MarginColumns {  // [count] each
  double* policy_margin;
  double* reference_margin;
  double* chosen_logratio;
  double* rejected_logratio;
};

// logps: pc, pr, rc, rr, as everywhere.
struct ColumnKernels {
  int64_t (*count_above)(const double* values, size_t count, double bound);  // >
  int64_t (*count_below)(const double* values, size_t count, double bound);  // <
  // Where x and y have the same sign, two zeros included.
  int64_t (*count_same_sign)(const double* xs, const double* ys, size_t count);
  int64_t (*count_both_below)(const double* xs, const double* ys, size_t count, double bound);
  void (*compute_margins)(const double* const* logps, size_t count, const MarginColumns& margins);
  // chosen / num_chosen - rejected / num_rejected
  void (*compute_margins_per_token)(const double* chosen, const double* rejected, const double* num_chosen,
                                    const double* num_rejected, size_t count, double* margins);
  void (*subtract)(const double* xs, const double* ys, size_t count, double* differences);
  void (*scale)(const double* xs, double factor, size_t count, double* products);
  // (|x| + |y|) / 2
  void (*compute_masses)(const double* xs, const double* ys, size_t count, double* masses);
  // log(1 + exp(x))
  void (*softplus)(const double* xs, size_t count, double* values);
};

// Where a sigmoid weight, sigmoid(-z), has its thresholds, as logits.
struct LogitThresholds {
  double learning;    // z below: the pair still learns
  double saturation;  // z above: the pair is saturated
};

// An objective's fast values of a block, on their way into the sums of a point.
struct PointColumns {
  const double* loss;
  const double* logit;
  double* by_policy_chosen;    // becomes the gradient mass
  double* by_policy_rejected;  // becomes its square
};

struct PointCounts {
  int64_t num_positive;
  int64_t num_negative;
  int64_t num_learning;
  int64_t num_saturated;
  uint64_t largest_loss;  // as of largest_magnitude
  uint64_t largest_logit;
  uint64_t largest_mass;
};

struct PointParts {
  int loss_top, mass_top, square_top;
  int64_t loss[kNumLevels];
  int64_t mass[kNumLevels];
  int64_t square[kNumLevels];
};

// A point's block in two passes; what the second splits by follows from the first.
struct PointKernels {
  PointCounts (*count)(const PointColumns& columns, size_t count, const LogitThresholds& thresholds);
  void (*split)(const PointColumns& columns, size_t count, PointParts& parts);
};

struct DiagnosticsKernels {
  const SumKernels& sums;
  const ColumnKernels& columns;
  const PointKernels& points;
};

// For the CPU at hand. REQUIRES: AVX2 and FMA, as all of the project.
const DiagnosticsKernels& Kernels();

}  // namespace prefscore

// A table's name, PREFSCORE_INSTRUCTION_SET being Avx2 or Avx512.
#define PREFSCORE_KERNEL_TABLE__(table, Set) table##Set
#define PREFSCORE_KERNEL_TABLE_(table, Set) PREFSCORE_KERNEL_TABLE__(table, Set)
#define PREFSCORE_KERNEL_TABLE(table) PREFSCORE_KERNEL_TABLE_(table, PREFSCORE_INSTRUCTION_SET)
