// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/reproducible_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace prefscore {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTooLarge = 0x1p999;

// The lowest level j with |x| < 2^(40 j + 39), for |x| = 2^exponent * 1.xxx.
int LevelOf(int exponent) {
  const int shifted = exponent + 1 + 40 * 64;  // positive, so that the division rounds down
  return shifted / kBitsPerLevel - 64;
}

int TopOf(std::uint64_t largest) { return LevelOf(static_cast<int>(largest >> 52) - 1023); }

bool IsTooLarge(std::uint64_t largest) { return largest >= std::bit_cast<std::uint64_t>(kTooLarge); }

Float128 PowerOfTwo(int exponent) {  // as a product, so that it reaches beyond doubles
  const int half = exponent / 2;
  return static_cast<Float128>(std::ldexp(1.0, half)) * static_cast<Float128>(std::ldexp(1.0, exponent - half));
}

}  // namespace

int ReproducibleSum::TopFor(std::uint64_t largest) {
  const int top = TopOf(largest);
  if (top > top_) RaiseTop(top);
  return top_;
}

void ReproducibleSum::RaiseTop(int top) {
  for (int raised = std::min(top - top_, kNumLevels); raised > 0; --raised) {
    std::copy_backward(levels_.begin(), levels_.end() - 1, levels_.end());
    levels_.front() = 0;
  }
  top_ = top;
}

void ReproducibleSum::AddParts(const std::int64_t* parts) {
  for (int i = 0; i < kNumLevels; ++i) levels_[i] += parts[i];
}

void ReproducibleSum::AddNonFinite(double value) {
  has_nan_ |= std::isnan(value);
  has_positive_infinity_ |= value >= kTooLarge;
  has_negative_infinity_ |= value <= -kTooLarge;
}

void ReproducibleSum::Add(std::span<const double> values) {
  const SumKernels& kernels = Kernels().sums;
  for (; !values.empty(); values = values.subspan(std::min(values.size(), kMaxBlock))) {
    const auto block = values.first(std::min(values.size(), kMaxBlock));
    const std::uint64_t largest = kernels.largest_magnitude(block.data(), block.size());
    if (IsTooLarge(largest)) {  // from here on nothing else matters
      for (const double value : block) AddNonFinite(value);
      continue;
    }
    std::int64_t parts[kNumLevels] = {};
    kernels.split(block.data(), block.size(), TopFor(largest), parts);
    AddParts(parts);
  }
}

void ReproducibleSum::AddProducts(std::span<const double> xs, std::span<const double> ys) {
  const SumKernels& kernels = Kernels().sums;
  for (std::size_t begin = 0; begin < xs.size(); begin += kMaxBlock) {
    const std::size_t count = std::min(xs.size() - begin, kMaxBlock);
    const std::uint64_t largest = kernels.largest_product(xs.data() + begin, ys.data() + begin, count);
    if (IsTooLarge(largest)) {
      for (std::size_t i = begin; i < begin + count; ++i) AddNonFinite(xs[i] * ys[i]);
      continue;
    }
    std::int64_t parts[kNumLevels] = {};
    kernels.split_products(xs.data() + begin, ys.data() + begin, count, TopFor(largest), parts);
    AddParts(parts);
  }
}

void ReproducibleSum::Merge(const ReproducibleSum& other) {
  if (other.top_ > top_) RaiseTop(other.top_);
  const int lowered = top_ - other.top_;
  for (int i = lowered; i < kNumLevels; ++i) levels_[i] += other.levels_[i - lowered];
  has_positive_infinity_ |= other.has_positive_infinity_;
  has_negative_infinity_ |= other.has_negative_infinity_;
  has_nan_ |= other.has_nan_;
}

ReproducibleSum::Scaled ReproducibleSum::Collect() const {
  constexpr Int128 kMask = (Int128{1} << kBitsPerLevel) - 1;
  // Carried up, each lower level is in [0, 2^40) and the sum is high * 2^80 + low.
  const Int128 middle = levels_[1] + (levels_[2] >> kBitsPerLevel);
  const Int128 low = ((middle & kMask) << kBitsPerLevel) | (levels_[2] & kMask);
  const Int128 high = levels_[0] + (middle >> kBitsPerLevel);
  const int exponent = kBitsPerLevel * (top_ - 2);
  int dropped = 0;  // bits of `low` that do not fit beside those of `high`
  while (dropped < 2 * kBitsPerLevel) {
    const int room = 126 - (2 * kBitsPerLevel - dropped);
    if (high < (Int128{1} << room) && high >= -(Int128{1} << room)) break;
    ++dropped;
  }
  const bool is_inexact = (low & ((Int128{1} << dropped) - 1)) != 0;
  const Int128 value = high * (Int128{1} << (2 * kBitsPerLevel - dropped)) + (low >> dropped);
  return {value | (is_inexact ? 1 : 0), exponent + dropped};
}

double ReproducibleSum::NonFiniteValue() const {
  if (has_nan_ || (has_positive_infinity_ && has_negative_infinity_)) return std::numeric_limits<double>::quiet_NaN();
  return has_positive_infinity_ ? kInfinity : -kInfinity;
}

double ReproducibleSum::Value() const {
  if (has_nan_ || has_positive_infinity_ || has_negative_infinity_) return NonFiniteValue();
  const Scaled sum = Collect();
  return std::ldexp(static_cast<double>(sum.value), sum.exponent);
}

Float128 ReproducibleSum::WideValue() const {
  if (has_nan_ || has_positive_infinity_ || has_negative_infinity_) return NonFiniteValue();
  const Scaled sum = Collect();
  return static_cast<Float128>(sum.value) * PowerOfTwo(sum.exponent);
}

}  // namespace prefscore
