// SPDX-License-Identifier: Apache-2.0
// A copy of a weight, in the type in which it was stored: for what is read row by row as long as the model lives.
#pragma once

#include <cstddef>
#include <memory>

#include "server/models/decoder_weights.h"

namespace prefscore {

// Immutable; thread-safe to read.
class OwnedRows {
 public:
  // Empty where `source` is null. REQUIRES: a row's elements lie side by side. Throws std::bad_alloc.
  explicit OwnedRows(const WeightView& source);

  const WeightView& view() const { return view_; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  WeightView view_;  // of bytes_, without gaps between rows
};

}  // namespace prefscore
