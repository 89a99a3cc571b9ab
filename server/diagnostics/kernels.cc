// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/kernels/kernels.h"

namespace prefscore {

extern const SumKernels kSumKernelsAvx2, kSumKernelsAvx512;
extern const ColumnKernels kColumnKernelsAvx2, kColumnKernelsAvx512;
extern const PointKernels kPointKernelsAvx2, kPointKernelsAvx512;

const DiagnosticsKernels& Kernels() {
  static const DiagnosticsKernels kAvx2 = {kSumKernelsAvx2, kColumnKernelsAvx2, kPointKernelsAvx2};
  static const DiagnosticsKernels kAvx512 = {kSumKernelsAvx512, kColumnKernelsAvx512, kPointKernelsAvx512};
  static const bool has_avx512 = __builtin_cpu_supports("x86-64-v4");
  return has_avx512 ? kAvx512 : kAvx2;
}

}  // namespace prefscore
