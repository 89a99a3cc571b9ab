// SPDX-License-Identifier: Apache-2.0
// Vector loops over one row of fp32 values. Compiled once for AVX-512 and once for AVX2 (row_ops_impl.h), chosen at run
// time. Every function works on its row alone and in a fixed order, so a row's result does not depend on its
// neighbours; it does depend on the instruction set, which numerics_mode names. NaN in, NaN out.
#pragma once

#include <cstdint>

namespace prefscore {

struct RowOps {
  // out = x / sqrt(mean(x^2) + epsilon) * weight. out may be x.
  void (*rms_norm)(const float* x, const float* weight, std::int64_t size, float epsilon, float* out);
  // out = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias; bias may be null. out may be x.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, std::int64_t size, float epsilon,
                     float* out);
  void (*add)(const float* x, std::int64_t size, float* sum);  // sum += x

  void (*silu)(float* x, std::int64_t size);
  void (*gelu_tanh)(float* x, std::int64_t size);
  void (*gelu_erf)(float* x, std::int64_t size);
  void (*relu)(float* x, std::int64_t size);
  void (*multiply)(const float* x, std::int64_t size, float* product);  // product *= x
  void (*softcap)(float cap, float* x, std::int64_t size);              // x = cap * tanh(x / cap)

  // Rotates the pairs (x[i], x[half + i]) by the angle whose cosine and sine are given. [half]
  void (*rotate)(const float* cosines, const float* sines, std::int64_t half, float* x);

  // Softmax without its division. x: scores, replaced by exp(scale * softcap(x) - maximum); returns their sum.
  // cap 0: none. Columns [hole_begin, hole_end) do not take part and become 0.
  float (*exp_scores)(float scale, float cap, std::int64_t hole_begin, std::int64_t hole_end, float* x,
                      std::int64_t size);
  // Online log-sum-exp: afterwards *sum * exp(*maximum) also covers x. Starts from -infinity and 0.
  void (*accumulate_exp)(const float* x, std::int64_t size, float* maximum, double* sum);

  // Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
  void (*to_bfloat16)(const float* x, std::int64_t size, std::uint16_t* out);
};

// For the CPU at hand. REQUIRES: AVX2 and FMA (see numerics.h).
const RowOps& GetRowOps();

extern const RowOps kRowOpsAvx2;
extern const RowOps kRowOpsAvx512;

}  // namespace prefscore
