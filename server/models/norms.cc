// SPDX-License-Identifier: Apache-2.0
#include "server/models/norms.h"

#include "server/models/row_ops.h"
#include "server/models/weight_reader.h"

namespace prefscore {

Norm::Norm(NormKind kind, double epsilon, const NormView& view, Precision precision)
    : kind_(kind),
      epsilon_(static_cast<float>(epsilon)),
      weight_(ReadWeightVector(view.weight, precision)),
      bias_(ReadWeightVector(view.bias, precision)) {
  if (kind == NormKind::kRmsOnePlusWeight) {
    for (float& weight : weight_) weight += 1.0f;
  }
}

void Norm::Apply(const float* x, float* out) const {
  if (kind_ == NormKind::kLayer) {
    GetRowOps().layer_norm(x, weight_.data(), bias_.empty() ? nullptr : bias_.data(), width(), epsilon_, out);
  } else {
    GetRowOps().rms_norm(x, weight_.data(), width(), epsilon_, out);
  }
}

}  // namespace prefscore
