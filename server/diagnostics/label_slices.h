// SPDX-License-Identifier: Apache-2.0
// The slices of one label name: one for each of the values that come first in the order of their bytes, and one for all
// further values together. A function of the set of pairs: which values have a slice of their own is known in the end
// only, so a value that is pushed out takes its pairs along into the group.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/diagnostics/distinct_counter.h"
#include "server/diagnostics/report.h"
#include "server/diagnostics/slice.h"

namespace prefscore {

class LabelSlices {
 public:
  explicit LabelSlices(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  void Add(const std::string& value, const PairRow& pair, std::string_view id, SliceContext& context);
  void Merge(LabelSlices&& other, SliceContext& context);
  void Report(SliceContext& context, std::vector<SliceReport>& reports);

 private:
  void PushOutLast(SliceContext& context);
  Slice& Group(SliceContext& context);

  std::string name_;
  std::map<std::string, Slice, std::less<>> slices_;  // at most max_slices
  std::optional<Slice> group_;
  DistinctCounter grouped_values_;
};

}  // namespace prefscore
