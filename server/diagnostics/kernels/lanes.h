// SPDX-License-Identifier: Apache-2.0
// A register of doubles. Internal linkage, inlined: the linker must not mix instruction sets.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/objectives/kernels/vector_math.h"

namespace prefscore {
namespace {

#ifdef __AVX512F__
constexpr size_t kLanes = 8;
#else
constexpr size_t kLanes = 4;
#endif
typedef double Lanes __attribute__((vector_size(kLanes * sizeof(double))));
typedef int64_t IntLanes __attribute__((vector_size(kLanes * sizeof(int64_t))));

PREFSCORE_INLINE Lanes Load(const double* values) {
  Lanes lanes;
  __builtin_memcpy(&lanes, values, sizeof(lanes));
  return lanes;
}

PREFSCORE_INLINE void Store(double* values, Lanes lanes) { __builtin_memcpy(values, &lanes, sizeof(lanes)); }

// The last numbers of a block, filled up with `filler`.
PREFSCORE_INLINE Lanes LoadTail(const double* values, size_t count, double filler) {
  Lanes lanes = filler - Lanes{};
  for (size_t i = 0; i < count; ++i) lanes[i] = values[i];
  return lanes;
}

PREFSCORE_INLINE IntLanes Bits(Lanes lanes) { return (IntLanes)lanes; }
PREFSCORE_INLINE Lanes AbsLanes(Lanes lanes) { return (Lanes)(Bits(lanes) & 0x7fffffffffffffff); }
PREFSCORE_INLINE IntLanes MaxLanes(IntLanes x, IntLanes y) { return x > y ? x : y; }

PREFSCORE_INLINE int64_t SumOf(IntLanes lanes) {
  int64_t sum = 0;
  for (size_t i = 0; i < kLanes; ++i) sum += lanes[i];
  return sum;
}

PREFSCORE_INLINE uint64_t LargestOf(IntLanes lanes) {
  int64_t largest = 0;
  for (size_t i = 0; i < kLanes; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
  return static_cast<uint64_t>(largest);
}

// 2^exponent, of a normal double.
PREFSCORE_INLINE double PowerOfTwo(int exponent) {
  return FromBits(static_cast<int64_t>(static_cast<uint64_t>(exponent + 1023) << 52));
}

}  // namespace
}  // namespace prefscore
