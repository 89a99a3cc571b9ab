// SPDX-License-Identifier: Apache-2.0
#include "client/cli/score_sink.h"

#include <algorithm>
#include <utility>

namespace prefscore::cli {

void ScoreSink::AddKept(const v1::PairResult& result) {
  std::unique_lock lock(mutex_);
  ++counts_.num_kept;
  CountLocked(result);
}

void ScoreSink::Expect(std::uint64_t index) {
  std::unique_lock lock(mutex_);
  slots_.push_back({index, std::nullopt});
}

void ScoreSink::AddResult(v1::PairResult result) {
  std::unique_lock lock(mutex_);
  const auto slot = std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.result; });
  result.set_index(static_cast<std::uint32_t>(slot->index));
  slot->result = std::move(result);
  WriteReadyLocked();
}

void ScoreSink::AddFaulty(v1::PairResult result) {
  std::unique_lock lock(mutex_);
  const std::uint64_t index = result.index();
  slots_.push_back({index, std::move(result)});
  WriteReadyLocked();
}

absl::Status ScoreSink::status() {
  std::unique_lock lock(mutex_);
  return status_;
}

void ScoreSink::WriteReadyLocked() {
  while (!slots_.empty() && slots_.front().result) {
    const v1::PairResult& result = *slots_.front().result;
    if (status_.ok()) status_ = file_.Append(result);
    if (status_.ok()) CountLocked(result);  // what is not in the file is not counted
    slots_.pop_front();
  }
}

void ScoreSink::CountLocked(const v1::PairResult& result) {
  summary_.Add(result);
  table_.Add(result);
  ++counts_.num_done;
  counts_.num_failed = summary_.num_failed();
  progress_.Update(counts_);
}

}  // namespace prefscore::cli
