// SPDX-License-Identifier: Apache-2.0
// The loops of row_ops.h, included by one source file per instruction set, which defines PREFSCORE_ROW_OPS (the table
// to define) and PREFSCORE_LANES (fp32 values per register). Uses no inline function of any library: the linker could
// otherwise keep the copy that was compiled for the larger instruction set.
#include <math.h>
#include <stdint.h>

#include "server/models/row_ops.h"

namespace prefscore {
namespace {

constexpr int64_t kLanes = PREFSCORE_LANES;
using Vec = float __attribute__((vector_size(4 * PREFSCORE_LANES)));
using IntVec = int32_t __attribute__((vector_size(4 * PREFSCORE_LANES)));

#define PREFSCORE_INLINE inline __attribute__((always_inline))

PREFSCORE_INLINE Vec Load(const float* x) {
  Vec values;
  __builtin_memcpy(&values, x, sizeof(values));
  return values;
}

PREFSCORE_INLINE void Store(Vec values, float* x) { __builtin_memcpy(x, &values, sizeof(values)); }

PREFSCORE_INLINE Vec Splat(float value) { return Vec{} + value; }

// The first `count` < kLanes values, then `fill`.
PREFSCORE_INLINE Vec LoadFirst(const float* x, int64_t count, float fill) {
  Vec values = Splat(fill);
  __builtin_memcpy(&values, x, count * sizeof(float));
  return values;
}

PREFSCORE_INLINE void StoreFirst(Vec values, int64_t count, float* x) {
  __builtin_memcpy(x, &values, count * sizeof(float));
}

PREFSCORE_INLINE float SumLanes(Vec values) {
  float lanes[kLanes];
  Store(values, lanes);
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

PREFSCORE_INLINE float MaxLanes(Vec values) {
  float lanes[kLanes];
  Store(values, lanes);
  float maximum = lanes[0];
  for (int64_t i = 1; i < kLanes; ++i) maximum = lanes[i] > maximum ? lanes[i] : maximum;
  return maximum;
}

// x[i] = function(x[i]) over a whole row.
template <typename Function>
PREFSCORE_INLINE void Apply(float* x, int64_t size, Function function) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) Store(function(Load(x + i)), x + i);
  if (i < size) StoreFirst(function(LoadFirst(x + i, size - i, 0.0f)), size - i, x + i);
}

// Sum of function(x[i]); the lanes beyond the row hold `fill`, for which function must give 0.
template <typename Function>
PREFSCORE_INLINE float Sum(const float* x, int64_t size, float fill, Function function) {
  Vec even{}, odd{};  // two chains hide the latency of an addition
  int64_t i = 0;
  for (; i + 2 * kLanes <= size; i += 2 * kLanes) {
    even += function(Load(x + i));
    odd += function(Load(x + i + kLanes));
  }
  for (; i + kLanes <= size; i += kLanes) even += function(Load(x + i));
  if (i < size) odd += function(LoadFirst(x + i, size - i, fill));
  return SumLanes(even + odd);
}

PREFSCORE_INLINE float Max(const float* x, int64_t size) {
  Vec maximum = Splat(-INFINITY);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const Vec values = Load(x + i);
    maximum = values > maximum ? values : maximum;
  }
  if (i < size) {
    const Vec values = LoadFirst(x + i, size - i, -INFINITY);
    maximum = values > maximum ? values : maximum;
  }
  return MaxLanes(maximum);
}

// e^x for x <= 88; 0 below -87; NaN for NaN. Relative error about 1e-7.
PREFSCORE_INLINE Vec Exp(Vec x) {
  const Vec clamped = x < -87.0f ? Splat(-87.0f) : (x > 88.0f ? Splat(88.0f) : x);
  // x = exponent * ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, so that the subtraction is exact.
  const Vec shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer in the low bits
  const Vec exponent = shifted - 12582912.0f;
  const Vec r = (clamped - exponent * 0.693145752f) - exponent * 1.42860677e-6f;
  Vec series = Splat(1.0f / 5040);
  series = series * r + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  const Vec power = (Vec)(((IntVec)shifted + 127) << 23);  // 2^exponent
  const Vec result = series * power;
  return x < -87.0f ? Vec{} : result;
}

PREFSCORE_INLINE Vec Tanh(Vec x) {
  const Vec square = x * x;
  // Near 0 the odd series keeps the relative error small (coefficients: a minimax fit on |x| <= 0.625).
  Vec series = Splat(-0.00611319f);
  series = series * square + 0.02101008f;
  series = series * square - 0.05385407f;
  series = series * square + 0.13332795f;
  series = series * square - 0.33333329f;
  const Vec small = x + x * square * series;
  const Vec doubled = 2.0f * x;
  const Vec large = 1.0f - 2.0f / (Exp(doubled > 40.0f ? Splat(40.0f) : doubled) + 1.0f);
  return square < 0.390625f ? small : large;
}

void RmsNorm(const float* x, const float* weight, int64_t size, float epsilon, float* out) {
  const float mean_square = Sum(x, size, 0.0f, [](Vec v) { return v * v; }) / static_cast<float>(size);
  const float scale = 1.0f / sqrtf(mean_square + epsilon);
  for (int64_t i = 0; i < size; ++i) out[i] = x[i] * scale * weight[i];
}

void LayerNorm(const float* x, const float* weight, const float* bias, int64_t size, float epsilon, float* out) {
  const float mean = Sum(x, size, 0.0f, [](Vec v) { return v; }) / static_cast<float>(size);
  const float variance =
      Sum(x, size, mean, [mean](Vec v) { return (v - mean) * (v - mean); }) / static_cast<float>(size);
  const float scale = 1.0f / sqrtf(variance + epsilon);
  for (int64_t i = 0; i < size; ++i) out[i] = (x[i] - mean) * scale * weight[i] + (bias ? bias[i] : 0.0f);
}

void Add(const float* x, int64_t size, float* sum) {
  for (int64_t i = 0; i < size; ++i) sum[i] += x[i];
}

void Multiply(const float* x, int64_t size, float* product) {
  for (int64_t i = 0; i < size; ++i) product[i] *= x[i];
}

void Silu(float* x, int64_t size) {
  Apply(x, size, [](Vec v) { return v / (1.0f + Exp(-v)); });
}

// x / 2 * (1 + tanh(u)) = x * sigmoid(2 u), which does not cancel for u << 0.
void GeluTanh(float* x, int64_t size) {
  constexpr float kTwoSqrtTwoOverPi = 1.59576912f;
  Apply(x, size, [](Vec v) { return v / (1.0f + Exp(-kTwoSqrtTwoOverPi * (v + 0.044715f * v * v * v))); });
}

void GeluErf(float* x, int64_t size) {
  for (int64_t i = 0; i < size; ++i) x[i] = 0.5f * x[i] * erfcf(-0.707106781f * x[i]);
}

void Relu(float* x, int64_t size) {
  Apply(x, size, [](Vec v) { return v < 0.0f ? Vec{} : v; });
}

void Softcap(float cap, float* x, int64_t size) {
  const float inverse = 1.0f / cap;
  Apply(x, size, [=](Vec v) { return cap * Tanh(v * inverse); });
}

void Rotate(const float* cosines, const float* sines, int64_t half, float* x) {
  for (int64_t i = 0; i < half; ++i) {
    const float first = x[i];
    const float second = x[half + i];
    x[i] = first * cosines[i] - second * sines[i];
    x[half + i] = second * cosines[i] + first * sines[i];
  }
}

float ExpScores(float scale, float cap, int64_t hole_begin, int64_t hole_end, float* x, int64_t size) {
  if (cap > 0.0f) {
    const float scale_over_cap = scale / cap;
    Apply(x, size, [=](Vec v) { return cap * Tanh(v * scale_over_cap); });
  } else {
    Apply(x, size, [=](Vec v) { return v * scale; });
  }
  for (int64_t i = hole_begin; i < hole_end; ++i) x[i] = -INFINITY;
  const float maximum = Max(x, size);
  Apply(x, size, [=](Vec v) { return Exp(v - maximum); });
  return Sum(x, size, 0.0f, [](Vec v) { return v; });
}

void AccumulateExp(const float* x, int64_t size, float* maximum, double* sum) {
  const float new_maximum = Max(x, size);
  if (new_maximum > *maximum) {
    *sum *= exp(static_cast<double>(*maximum) - static_cast<double>(new_maximum));
    *maximum = new_maximum;
  }
  const float reference = *maximum;
  *sum += Sum(x, size, -INFINITY, [=](Vec v) { return Exp(v - reference); });
}

void ToBfloat16(const float* x, int64_t size, uint16_t* out) {
  for (int64_t i = 0; i < size; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, x + i, sizeof(bits));
    const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    const bool is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
    out[i] = static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40 : rounded);
  }
}

}  // namespace

extern const RowOps PREFSCORE_ROW_OPS = {
    .rms_norm = RmsNorm,
    .layer_norm = LayerNorm,
    .add = Add,
    .silu = Silu,
    .gelu_tanh = GeluTanh,
    .gelu_erf = GeluErf,
    .relu = Relu,
    .multiply = Multiply,
    .softcap = Softcap,
    .rotate = Rotate,
    .exp_scores = ExpScores,
    .accumulate_exp = AccumulateExp,
    .to_bfloat16 = ToBfloat16,
};

}  // namespace prefscore
