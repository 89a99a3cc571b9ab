// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/kernels/kernels.h"
#include "server/objectives/kernels/vector_math.h"

namespace prefscore {
namespace {

PREFSCORE_INLINE int64_t Sign(double x) { return (x > 0 ? 1 : 0) - (x < 0 ? 1 : 0); }

int64_t CountAbove(const double* values, size_t count, double bound) {
  int64_t num_above = 0;
  for (size_t i = 0; i < count; ++i) num_above += values[i] > bound ? 1 : 0;
  return num_above;
}

int64_t CountBelow(const double* values, size_t count, double bound) {
  int64_t num_below = 0;
  for (size_t i = 0; i < count; ++i) num_below += values[i] < bound ? 1 : 0;
  return num_below;
}

int64_t CountSameSign(const double* xs, const double* ys, size_t count) {
  int64_t num_same = 0;
  for (size_t i = 0; i < count; ++i) num_same += Sign(xs[i]) == Sign(ys[i]) ? 1 : 0;
  return num_same;
}

int64_t CountBothBelow(const double* xs, const double* ys, size_t count, double bound) {
  int64_t num_below = 0;
  for (size_t i = 0; i < count; ++i) num_below += (xs[i] < bound) & (ys[i] < bound) ? 1 : 0;
  return num_below;
}

void ComputeMargins(const double* const* logps, size_t count, const MarginColumns& margins) {
  const double* const policy_chosen = logps[0];
  const double* const policy_rejected = logps[1];
  const double* const reference_chosen = logps[2];
  const double* const reference_rejected = logps[3];
  const MarginColumns out = margins;
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) {
    out.policy_margin[i] = policy_chosen[i] - policy_rejected[i];
    out.reference_margin[i] = reference_chosen[i] - reference_rejected[i];
    out.chosen_logratio[i] = policy_chosen[i] - reference_chosen[i];
    out.rejected_logratio[i] = policy_rejected[i] - reference_rejected[i];
  }
}

void ComputeMarginsPerToken(const double* chosen, const double* rejected, const double* num_chosen,
                            const double* num_rejected, size_t count, double* margins) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) margins[i] = chosen[i] / num_chosen[i] - rejected[i] / num_rejected[i];
}

void Subtract(const double* xs, const double* ys, size_t count, double* differences) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) differences[i] = xs[i] - ys[i];
}

void Scale(const double* xs, double factor, size_t count, double* products) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) products[i] = factor * xs[i];
}

void ComputeMasses(const double* xs, const double* ys, size_t count, double* masses) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) masses[i] = 0.5 * (Abs(xs[i]) + Abs(ys[i]));
}

void Softplus(const double* xs, size_t count, double* values) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) values[i] = Max(xs[i], 0.0) + Log1p(Exp(-Abs(xs[i])));
}

}  // namespace

extern const ColumnKernels PREFSCORE_KERNEL_TABLE(kColumnKernels);
const ColumnKernels PREFSCORE_KERNEL_TABLE(kColumnKernels) = {
    &CountAbove, &CountBelow, &CountSameSign, &CountBothBelow, &ComputeMargins, &ComputeMarginsPerToken,
    &Subtract,   &Scale,      &ComputeMasses, &Softplus};

}  // namespace prefscore
