// SPDX-License-Identifier: Apache-2.0
#include "server/models/weight_binder.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::size_t kMaxNamesInMessage = 5;

std::string NameList(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kMaxNamesInMessage);
  std::string list = absl::StrJoin(names.begin(), names.begin() + shown, ", ");
  if (names.size() > shown) absl::StrAppend(&list, " and ", names.size() - shown, " more");
  return list;
}

// No weights: transformers ignores these, too, and computes them from the config.
bool IsBuffer(const std::string& name) {
  return absl::EndsWith(name, ".rotary_emb.inv_freq") || absl::EndsWith(name, ".attn.bias") ||
         absl::EndsWith(name, ".attn.masked_bias");
}

}  // namespace

WeightView WeightBinder::Vector(const std::string& name, std::int64_t size) { return Take(name, {size}, 1, size); }

WeightView WeightBinder::Matrix(const std::string& name, std::int64_t num_out, std::int64_t num_in) {
  return Take(name, {num_out, num_in}, num_out, num_in);
}

WeightView WeightBinder::Transposed(const std::string& name, std::int64_t num_out, std::int64_t num_in) {
  WeightView view = Take(name, {num_in, num_out}, num_out, num_in);
  view.out_stride = 1;
  view.in_stride = num_out;
  return view;
}

WeightView WeightBinder::Take(const std::string& name, const std::vector<std::int64_t>& shape, std::int64_t num_out,
                              std::int64_t num_in) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    missing_.push_back(name);
    return {};
  }
  const SafetensorsEntry& entry = found->second;
  used_.emplace(name, &entry);
  if (entry.shape != shape) {
    status_.Update(
        absl::InvalidArgumentError(absl::StrCat("tensor '", name, "' has shape [", absl::StrJoin(entry.shape, ", "),
                                                "], but config.json asks for [", absl::StrJoin(shape, ", "), "]")));
    return {};
  }
  WeightView view;
  if (entry.dtype == "F32") {
    view.dtype = DType::kFloat32;
  } else if (entry.dtype == "BF16") {
    view.dtype = DType::kBfloat16;
  } else if (entry.dtype == "F16") {
    view.dtype = DType::kFloat16;
  } else {
    status_.Update(absl::UnimplementedError(
        absl::StrCat("tensor '", name, "' has dtype ", entry.dtype, "; supported: F32, BF16, F16")));
    return {};
  }
  view.data = entry.bytes.data();
  view.num_out = num_out;
  view.num_in = num_in;
  view.out_stride = num_in;
  view.in_stride = 1;
  return view;
}

absl::Status WeightBinder::Finish() const {
  RETURN_IF_ERROR(status_);
  if (!missing_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the checkpoint lacks ", missing_.size(),
                                                   " tensors that config.json asks for: ", NameList(missing_)));
  }
  std::vector<std::string> extra;
  for (const auto& [name, entry] : tensors_) {
    if (!used_.contains(name) && !ignored_.contains(name) && !IsBuffer(name)) extra.push_back(name);
  }
  if (!extra.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the checkpoint has ", extra.size(),
                                                   " tensors that config.json does not ask for: ", NameList(extra)));
  }
  return absl::OkStatus();
}

std::vector<const SafetensorsEntry*> WeightBinder::used() const {
  std::vector<const SafetensorsEntry*> entries;
  for (const auto& [name, entry] : used_) entries.push_back(entry);
  return entries;
}

}  // namespace prefscore
