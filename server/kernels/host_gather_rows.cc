// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "server/kernels/kernels.h"

namespace prefscore::host {

void GatherRows(const kernels::GatherRowsArgs& args) {
  const auto* source = static_cast<const std::byte*>(args.source);
  auto* out = static_cast<std::byte*>(args.out);
  for (std::int64_t i = 0; i < args.num_rows; ++i) {
    std::memcpy(out + i * args.row_bytes, source + args.rows[i] * args.row_bytes, args.row_bytes);
  }
}

}  // namespace prefscore::host
