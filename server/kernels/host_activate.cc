// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/activations.h"
#include "server/kernels/host_rows.h"

namespace prefscore::host {

void Activate(const kernels::ActivateArgs& args) {
  WithElement(args.type, [&]<typename Element>(Element) {
    const auto value_at = [&](const void* matrix, const float* bias, std::int64_t row, std::int64_t column) {
      const float value = kernels::ToFloat(static_cast<const Element*>(matrix)[row * args.stride + column]);
      return bias ? value + bias[column] : value;
    };
    auto* out = static_cast<Element*>(args.out);
    for (std::int64_t row = 0; row < args.num_rows; ++row) {
      for (std::int64_t i = 0; i < args.width; ++i) {
        const float up = value_at(args.up, args.up_bias, row, i);
        const float value =
            args.gate ? kernels::Activated(args.activation, value_at(args.gate, args.gate_bias, row, i)) * up
                      : kernels::Activated(args.activation, up);
        out[row * args.width + i] = kernels::RoundTo<Element>(value);
      }
    }
  });
}

}  // namespace prefscore::host
