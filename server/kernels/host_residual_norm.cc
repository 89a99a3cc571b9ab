// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/host_rows.h"

namespace prefscore::host {
namespace {

void Normalize(const kernels::Norm& norm, std::vector<float>& x) {
  if (!norm.weight) return;
  const auto width = static_cast<std::int64_t>(x.size());
  const NormScale by = ScaleOf(norm, x, kernels::RowLanes(width), kernels::kQuad);
  for (std::int64_t i = 0; i < width; ++i) x[i] = Normalized(norm, by, x[i], i);
}

}  // namespace

void ResidualNorm(const kernels::ResidualNormArgs& args) {
  WithElement(args.type, [&]<typename Element>(Element) {
    std::vector<float> x(args.width);
    for (std::int64_t row = 0; row < args.num_rows; ++row) {
      float* hidden = args.hidden + row * args.width;
      if (args.branch) {
        const float* branch = args.branch + row * args.width;
        for (std::int64_t i = 0; i < args.width; ++i) {
          x[i] = args.branch_bias ? branch[i] + args.branch_bias[i] : branch[i];
        }
        Normalize(args.branch_norm, x);
        for (std::int64_t i = 0; i < args.width; ++i) hidden[i] += x[i];
      }
      x.assign(hidden, hidden + args.width);
      Normalize(args.next_norm, x);
      auto* normalized = static_cast<Element*>(args.normalized) + row * args.width;
      for (std::int64_t i = 0; i < args.width; ++i) normalized[i] = kernels::RoundTo<Element>(x[i]);
    }
  });
}

}  // namespace prefscore::host
