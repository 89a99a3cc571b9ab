// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/host_rows.h"

namespace prefscore::host {

void Embed(const kernels::EmbedArgs& args) {
  WithElement(args.type, [&]<typename Element>(Element) {
    const auto* token_embedding = static_cast<const Element*>(args.token_embedding);
    const auto* position_embedding = static_cast<const Element*>(args.position_embedding);
    for (std::int64_t row = 0; row < args.num_rows; ++row) {
      const Element* token = token_embedding + args.tokens[row] * args.width;
      for (std::int64_t i = 0; i < args.width; ++i) {
        float value = kernels::ToFloat(token[i]) * args.scale;
        if (position_embedding) value += kernels::ToFloat(position_embedding[args.positions[row] * args.width + i]);
        args.hidden[row * args.width + i] = value;
      }
    }
  });
}

}  // namespace prefscore::host
