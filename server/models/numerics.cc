// SPDX-License-Identifier: Apache-2.0
#include "server/models/numerics.h"

#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "server/models/row_ops.h"

namespace prefscore {
namespace {

bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

// What the AVX-512 loops are compiled for: x86-64-v4.
bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// Raised whenever a change of the code changes a bit of any result.
constexpr char kRevision[] = "1";

}  // namespace

const RowOps& GetRowOps() {
  static const RowOps& ops = HasAvx512() ? kRowOpsAvx512 : kRowOpsAvx2;
  return ops;
}

absl::StatusOr<Precision> ParsePrecision(std::string_view dtype) {
  if (dtype == "float32") return Precision::kFloat32;
  if (dtype == "bfloat16") return Precision::kBfloat16;
  return absl::InvalidArgumentError("dtype '" + std::string(dtype) + "' is not one of float32, bfloat16");
}

absl::StatusOr<std::string> NumericsMode(Precision precision) {
  std::string name;
  if (precision == Precision::kFloat32) {
    if (!HasAvx2()) return absl::FailedPreconditionError("the CPU lacks AVX2 and FMA, which the forward pass needs");
    name = HasAvx512() ? "cpu-avx512-float32-" : "cpu-avx2-float32-";
  } else {
    if (!HasAvx512() || !__builtin_cpu_supports("avx512bf16")) {
      return absl::FailedPreconditionError("dtype bfloat16 needs a CPU with AVX512-BF16; use float32 here");
    }
    const bool has_amx = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16");
    name = has_amx ? "cpu-amx-bfloat16-" : "cpu-avx512bf16-bfloat16-";
  }
  name += kRevision;
  // These take instructions away from the GEMM kernels, and with them move bits.
  for (const char* variable : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}) {
    if (const char* limit = std::getenv(variable)) name += "-max-" + std::string(limit);
  }
  return name;
}

}  // namespace prefscore
