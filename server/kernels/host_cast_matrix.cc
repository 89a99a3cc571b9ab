// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/cast.h"
#include "server/kernels/host_rows.h"

namespace prefscore::host {

void CastMatrix(const kernels::CastMatrixArgs& args) {
  WithElement(args.type, [&]<typename Element>(Element) {
    for (std::int64_t row = 0; row < args.num_rows; ++row) {
      auto* out = static_cast<Element*>(args.out) + row * args.out_stride;
      for (std::int64_t column = 0; column < args.num_columns; ++column) {
        const std::int64_t index = row * args.row_stride + column * args.column_stride;
        out[column] = kernels::RoundTo<Element>(kernels::SourceValue(args.source_type, args.source, index));
      }
    }
  });
}

}  // namespace prefscore::host
