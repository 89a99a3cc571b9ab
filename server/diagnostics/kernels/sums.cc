// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/kernels/kernels.h"
#include "server/diagnostics/kernels/splitter.h"

namespace prefscore {
namespace {

uint64_t LargestMagnitude(const double* values, size_t count) {
  IntLanes largest{};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) largest = MaxLanes(largest, Bits(AbsLanes(Load(values + i))));
  if (i < count) largest = MaxLanes(largest, Bits(AbsLanes(LoadTail(values + i, count - i, 0.0))));
  return LargestOf(largest);
}

uint64_t LargestProduct(const double* xs, const double* ys, size_t count) {
  IntLanes largest{};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    largest = MaxLanes(largest, Bits(AbsLanes(Load(xs + i) * Load(ys + i))));
  }
  if (i < count) {
    const Lanes products = LoadTail(xs + i, count - i, 0.0) * LoadTail(ys + i, count - i, 0.0);
    largest = MaxLanes(largest, Bits(AbsLanes(products)));
  }
  return LargestOf(largest);
}

Extremes FindExtremes(const double* values, size_t count) {
  Lanes minimum = values[0] - Lanes{};
  Lanes maximum = minimum;
  const auto add = [&](Lanes lanes) __attribute__((always_inline)) {
    minimum = lanes < minimum ? lanes : minimum;
    maximum = lanes > maximum ? lanes : maximum;
  };
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) add(Load(values + i));
  if (i < count) add(LoadTail(values + i, count - i, values[0]));
  Extremes extremes = {minimum[0], maximum[0]};
  for (size_t lane = 1; lane < kLanes; ++lane) {
    extremes.minimum = minimum[lane] < extremes.minimum ? minimum[lane] : extremes.minimum;
    extremes.maximum = maximum[lane] > extremes.maximum ? maximum[lane] : extremes.maximum;
  }
  return extremes;
}

void Split(const double* values, size_t count, int top, int64_t* parts) {
  Splitter splitter(top);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) splitter.Add(Load(values + i));
  if (i < count) splitter.Add(LoadTail(values + i, count - i, 0.0));
  splitter.AddTo(parts);
}

void SplitProducts(const double* xs, const double* ys, size_t count, int top, int64_t* parts) {
  Splitter splitter(top);
  const auto add = [&](Lanes x, Lanes y) __attribute__((always_inline)) {
    const Lanes product = x * y;
    Lanes error;
    for (size_t lane = 0; lane < kLanes; ++lane) error[lane] = __builtin_fma(x[lane], y[lane], -product[lane]);
    splitter.Add(product);
    splitter.AddBelowTop(error);  // at most 2^-53 of the product
  };
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) add(Load(xs + i), Load(ys + i));
  if (i < count) add(LoadTail(xs + i, count - i, 0.0), LoadTail(ys + i, count - i, 0.0));
  splitter.AddTo(parts);
}

void FindBuckets(const double* values, size_t count, int32_t* buckets) {
  // The first bits of a magnitude: its exponent, and which part of the octave it is in.
  constexpr int kShift = 52 - __builtin_ctz(kBucketsPerOctave);
  constexpr int32_t kBeforeFirst = (kLowestExponent + 1023) * kBucketsPerOctave - 1;
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) {
    const int64_t bits = ToBits(values[i]);
    const int32_t position = static_cast<int32_t>((bits & 0x7fffffffffffffff) >> kShift) - kBeforeFirst;
    const int32_t bucket = position > 0 ? position : 0;
    buckets[i] = bits < 0 ? -bucket : bucket;
  }
}

}  // namespace

extern const SumKernels PREFSCORE_KERNEL_TABLE(kSumKernels);
const SumKernels PREFSCORE_KERNEL_TABLE(kSumKernels) = {&LargestMagnitude, &LargestProduct, &FindExtremes, &Split,
                                                        &SplitProducts,    &FindBuckets};

}  // namespace prefscore
