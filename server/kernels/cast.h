// SPDX-License-Identifier: Apache-2.0
// A value of a matrix that CastMatrix reads, for kernel and twin.
#pragma once

#include "server/kernels/kernels.h"
#include "server/kernels/scalar_math.h"

namespace prefscore::kernels {

PREFSCORE_HOST_DEVICE float SourceValue(CastMatrixArgs::Source type, const void* source, std::int64_t index) {
  switch (type) {
    case CastMatrixArgs::Source::kFloat32:
      return static_cast<const float*>(source)[index];
    case CastMatrixArgs::Source::kBfloat16:
      return ToFloat(static_cast<const Bfloat16*>(source)[index]);
    case CastMatrixArgs::Source::kFloat16:
      return HalfToFloat(static_cast<const std::uint16_t*>(source)[index]);
  }
  return 0.0f;
}

}  // namespace prefscore::kernels
