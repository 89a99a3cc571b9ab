// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/slice.h"

#include <utility>

namespace prefscore {

void Slice::Flush(SliceContext& context) {
  if (block_.size() == 0) return;
  if (totals_ == nullptr) totals_ = std::make_unique<SliceTotals>(context.plan);
  context.workspace.block.Assign(block_);
  totals_->Add(context.plan, context.workspace);
  block_.Clear();
}

void Slice::Merge(Slice&& other, SliceContext& context) {
  if (totals_ == nullptr) {
    totals_ = std::move(other.totals_);
  } else if (other.totals_ != nullptr) {
    totals_->Merge(std::move(*other.totals_));
  }
  for (std::size_t i = 0; i < other.block_.size(); ++i) {
    block_.AddFrom(other.block_, i);
    if (block_.is_full()) Flush(context);
  }
}

SliceReport Slice::Report(SliceContext& context) {
  Flush(context);
  return totals_ != nullptr ? totals_->Report(context.plan) : SliceTotals(context.plan).Report(context.plan);
}

}  // namespace prefscore
