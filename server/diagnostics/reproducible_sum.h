// SPDX-License-Identifier: Apache-2.0
// A sum of doubles that is a function of the set of addends: the same bits in any order, chunking and merging.
//
// Levels. Level j has the quantum u_j = 2^(40 j). An addend x is split from the top: q_j = x rounded to a multiple of
// u_j (ties away from 0), the rest x - q_j goes to level j - 1, and so on; all of this is exact (kernels/splitter.h).
// The sum keeps, per level, the sum of the q_j as an integer, on the three levels from the top one that its largest
// addend asks for: the lowest j with |x| < u_(j+1) / 2. When a larger addend comes, levels shift and the lowest are
// dropped.
//
// Why the order cannot matter. On a level above its own top level an addend is less than half a quantum: q is 0 and the
// rest is x itself. So its q on each level depends on x alone, not on the level where its split started. The sum of
// integers is exact, and which levels are left in the end follows from the largest addend. Dropping a level takes from
// each addend what it has there, whenever that happens.
//
// Error: what is below the lowest level, at most half of its quantum per addend: 2^-80 of the largest addend, or
// 2^-1041.
//
// J. Demmel, H. D. Nguyen, "Parallel Reproducible Summation", IEEE Transactions on Computers 64(7), 2015. Theirs keeps
// doubles per level and propagates carries; with 128-bit integers none arise: 2^64 addends fit.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "server/diagnostics/kernels/kernels.h"

namespace prefscore {

__extension__ typedef __int128 Int128;
__extension__ typedef __float128 Float128;  // 113 bits

class ReproducibleSum {
 public:
  // Addends of magnitude 2^999 and more count as infinite.
  void Add(std::span<const double> values);
  // Adds each product exactly, but for what is below 2^-1074. REQUIRES: spans of one size.
  void AddProducts(std::span<const double> xs, std::span<const double> ys);
  void Merge(const ReproducibleSum& other);

  // The sum, rounded once. Infinite where an addend is; NaN where one is, or where infinities of both signs are.
  double Value() const;
  // The same in quadruple precision, for differences of large sums.
  Float128 WideValue() const;

  // For loops that sum several columns at once: the level to split a block by whose largest magnitude has the bits
  // `largest` (SumKernels::largest_magnitude), and the parts it was split into. REQUIRES: a magnitude below 2^999.
  int TopFor(std::uint64_t largest);
  void AddParts(const std::int64_t* parts);

 private:
  static constexpr int kLowestTop = -24;  // two levels below, a level's running sum is the last to be normal

  void AddNonFinite(double value);
  void RaiseTop(int top);
  // The sum as value * 2^exponent, with a last bit that stands for all below.
  struct Scaled {
    Int128 value;
    int exponent;
  };
  Scaled Collect() const;
  // Infinite or NaN.
  double NonFiniteValue() const;

  std::array<Int128, kNumLevels> levels_{};  // in quanta
  int top_ = kLowestTop;
  bool has_positive_infinity_ = false;
  bool has_negative_infinity_ = false;
  bool has_nan_ = false;
};

}  // namespace prefscore
