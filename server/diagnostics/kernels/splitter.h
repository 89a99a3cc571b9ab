// SPDX-License-Identifier: Apache-2.0
// Splits numbers into whole multiples of the quanta of a reproducible sum's levels (reproducible_sum.h) and sums these.
//
// A level with quantum u = 2^(40*level) has a running sum S that starts at M = 1.5 * 2^52 * u. All of a binade's
// doubles [2^52 u, 2^53 u) are multiples of u, so S + r rounds r to a multiple q of u: T = S + r, q = T - S, and r - q
// goes on to the level below, exactly. To leave no tie to the parity of S, the last bit of r is set before: a tie
// rounds away from 0, and q depends on r alone. With |r| <= 2^39 u and at most 1024 numbers, S stays in its binade,
// where one unit in the last place is u: the difference of the bit patterns of S and M is the sum of the q / u.
#pragma once

#include "server/diagnostics/kernels/kernels.h"
#include "server/diagnostics/kernels/lanes.h"

namespace prefscore {
namespace {

PREFSCORE_INLINE double StartOfLevel(int level) { return 1.5 * PowerOfTwo(52 + kBitsPerLevel * level); }

struct Splitter {
  double starts[kNumLevels];
  Lanes sums[kNumLevels];

  PREFSCORE_INLINE explicit Splitter(int top) {
    for (int i = 0; i < kNumLevels; ++i) {
      starts[i] = StartOfLevel(top - i);
      sums[i] = starts[i] - Lanes{};
    }
  }

  // Adds the part of `rest` on level i and takes it from `rest`.
  PREFSCORE_INLINE void AddLevel(int i, Lanes& rest) {
    const Lanes sum = sums[i] + (Lanes)(Bits(rest) | 1);
    rest -= sum - sums[i];
    sums[i] = sum;
  }

  PREFSCORE_INLINE void Add(Lanes rest) {
    for (int i = 0; i < kNumLevels; ++i) AddLevel(i, rest);
  }

  // Of numbers of less than half the top level's quantum, which have no part there.
  PREFSCORE_INLINE void AddBelowTop(Lanes rest) {
    for (int i = 1; i < kNumLevels; ++i) AddLevel(i, rest);
  }

  PREFSCORE_INLINE void AddTo(int64_t* parts) const {
    for (int i = 0; i < kNumLevels; ++i) parts[i] += SumOf(Bits(sums[i]) - ToBits(starts[i]));
  }
};

}  // namespace
}  // namespace prefscore
