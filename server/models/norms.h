// SPDX-License-Identifier: Apache-2.0
// RMSNorm, RMSNorm with (1 + w), LayerNorm.
#pragma once

#include <vector>

#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"
#include "server/models/numerics.h"

namespace prefscore {

// Immutable: thread-safe.
class Norm {
 public:
  Norm() = default;  // no norm at this place
  Norm(NormKind kind, double epsilon, const NormView& view, Precision precision);

  // False: the architecture has no norm here, and Apply must not be called.
  explicit operator bool() const { return !weight_.empty(); }

  // Normalises width() values; out may be x.
  void Apply(const float* x, float* out) const;
  std::int64_t width() const { return static_cast<std::int64_t>(weight_.size()); }

 private:
  NormKind kind_ = NormKind::kRms;
  float epsilon_ = 0.0f;
  std::vector<float> weight_;  // 1 + w where the kind says so
  std::vector<float> bias_;
};

}  // namespace prefscore
