// SPDX-License-Identifier: Apache-2.0
// Pairs of one slice: totals, and the pairs that wait for their block to be full. A slice of few pairs has no totals
// yet and is small. A function of the set of pairs.
#pragma once

#include <memory>
#include <string_view>

#include "server/diagnostics/analysis_plan.h"
#include "server/diagnostics/pair_block.h"
#include "server/diagnostics/report.h"
#include "server/diagnostics/slice_totals.h"
#include "server/diagnostics/workspace.h"

namespace prefscore {

// What all slices of an Analyzer share.
struct SliceContext {
  AnalysisPlan plan;
  Workspace workspace = {};
};

class Slice {
 public:
  explicit Slice(const AnalysisPlan& plan) : block_(plan.num_columns) {}

  // `context` is the same in all calls, or of the same options.
  void Add(const PairRow& pair, std::string_view id, SliceContext& context) {
    block_.Add(pair, id);
    if (block_.is_full()) Flush(context);
  }
  void Merge(Slice&& other, SliceContext& context);
  // Without label. More pairs may follow.
  SliceReport Report(SliceContext& context);

 private:
  void Flush(SliceContext& context);

  PairBlock block_;
  std::unique_ptr<SliceTotals> totals_;
};

}  // namespace prefscore
