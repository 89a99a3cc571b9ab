// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/label_slices.h"

#include <utility>

namespace prefscore {

Slice& LabelSlices::Group(SliceContext& context) {
  if (!group_.has_value()) group_.emplace(context.plan);
  return *group_;
}

void LabelSlices::PushOutLast(SliceContext& context) {
  const auto last = std::prev(slices_.end());
  grouped_values_.Add(last->first);
  Group(context).Merge(std::move(last->second), context);
  slices_.erase(last);
}

void LabelSlices::Add(const std::string& value, const PairRow& pair, std::string_view id, SliceContext& context) {
  auto found = slices_.find(value);
  if (found == slices_.end()) {
    if (slices_.size() == context.plan.options.max_slices) {
      if (std::prev(slices_.end())->first < value) {
        grouped_values_.Add(value);
        return Group(context).Add(pair, id, context);
      }
      PushOutLast(context);
    }
    found = slices_.emplace(value, Slice(context.plan)).first;
  }
  found->second.Add(pair, id, context);
}

void LabelSlices::Merge(LabelSlices&& other, SliceContext& context) {
  for (auto& [value, slice] : other.slices_) {
    slices_.emplace(value, Slice(context.plan)).first->second.Merge(std::move(slice), context);
  }
  grouped_values_.Merge(other.grouped_values_);
  if (other.group_.has_value()) Group(context).Merge(*std::move(other.group_), context);
  while (slices_.size() > context.plan.options.max_slices) PushOutLast(context);
}

void LabelSlices::Report(SliceContext& context, std::vector<SliceReport>& reports) {
  for (auto& [value, slice] : slices_) {
    SliceReport& report = reports.emplace_back(slice.Report(context));
    report.label_name = name_;
    report.label_value = value;
  }
  if (!group_.has_value()) return;
  SliceReport& report = reports.emplace_back(group_->Report(context));
  report.label_name = name_;
  report.num_grouped_values = grouped_values_.Count();
}

}  // namespace prefscore
