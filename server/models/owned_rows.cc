// SPDX-License-Identifier: Apache-2.0
#include "server/models/owned_rows.h"

#include <cstdint>
#include <cstring>

namespace prefscore {

OwnedRows::OwnedRows(const WeightView& source) : view_(source) {
  if (!source) return;
  const std::int64_t element_bytes = source.dtype == DType::kFloat32 ? 4 : 2;
  const std::int64_t row_bytes = source.num_in * element_bytes;
  bytes_ = std::make_unique_for_overwrite<std::byte[]>(source.num_out * row_bytes);
  for (std::int64_t row = 0; row < source.num_out; ++row) {
    std::memcpy(bytes_.get() + row * row_bytes, source.data + row * source.out_stride * element_bytes, row_bytes);
  }
  view_.data = bytes_.get();
  view_.out_stride = source.num_in;
}

}  // namespace prefscore
