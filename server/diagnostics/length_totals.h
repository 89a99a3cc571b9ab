// SPDX-License-Identifier: Apache-2.0
// What length has to do with margins, while pairs come in. A function of the set of pairs.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "server/diagnostics/kernels/kernels.h"
#include "server/diagnostics/report.h"
#include "server/diagnostics/reproducible_sum.h"

namespace prefscore {

// The correlation of two numbers (Pearson).
class CorrelationTotals {
 public:
  // REQUIRES: spans of one size.
  void Add(std::span<const double> xs, std::span<const double> ys);
  void Merge(const CorrelationTotals& other);
  // In [-1, 1]; 0 where either number is constant.
  double Correlation() const;

 private:
  struct Moments {
    double minimum = std::numeric_limits<double>::infinity();
    double maximum = -std::numeric_limits<double>::infinity();
    ReproducibleSum sum;
    ReproducibleSum sum_of_squares;
    void Add(std::span<const double> values);
    void Merge(const Moments& other);
  };

  std::uint64_t count_ = 0;
  Moments xs_;
  Moments ys_;
  ReproducibleSum sum_of_products_;
};

// Of pairs with both token counts. [count] each; what is about the reference is of the first ones, those with a
// reference.
struct LengthColumns {
  std::span<const double> length_differences;  // tokens of chosen less those of rejected
  std::span<const double> policy_margins;
  std::span<const double> policy_margins_per_token;
  std::span<const double> reference_margins;  // may be shorter, as the next
  std::span<const double> reference_margins_per_token;
};

class LengthTotals {
 public:
  void Add(const LengthColumns& columns);
  void Merge(const LengthTotals& other);
  std::optional<LengthReport> Report() const;  // nothing where there are no pairs

 private:
  std::uint64_t num_pairs_ = 0;
  std::uint64_t num_pairs_with_reference_ = 0;
  std::uint64_t num_chosen_longer_ = 0;
  std::uint64_t num_policy_accurate_ = 0;
  std::uint64_t num_reference_accurate_ = 0;
  CorrelationTotals policy_;
  CorrelationTotals reference_;
};

}  // namespace prefscore
