// SPDX-License-Identifier: Apache-2.0
// Where the results of a run go: the file, the summary, the table and the progress line. Takes results of the stream
// and rows that failed before they were sent, and writes them in the order of the input. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "client/cli/pair_table.h"
#include "client/cli/progress.h"
#include "client/cli/result_file.h"
#include "client/cli/summary.h"

namespace prefscore::cli {

class ScoreSink {
 public:
  ScoreSink(ResultFile& file, Progress& progress, std::size_t num_table_rows)
      : file_(file), progress_(progress), table_(num_table_rows) {}

  // A row that the file holds already. Before all others.
  void AddKept(const v1::PairResult& result);

  // Announces input row `index`, whose result will come from the stream; to be called before the pair is pushed.
  void Expect(std::uint64_t index);
  // The result of the first announced row that has none yet.
  void AddResult(v1::PairResult result);

  // A row that has its result without the stream.
  void AddFaulty(v1::PairResult result);

  // The first error of writing; the run cannot go on after it.
  absl::Status status();

  // Not to be called while results may still come.
  const Summary& summary() const { return summary_; }
  const PairTable& table() const { return table_; }
  std::uint64_t num_kept() const { return counts_.num_kept; }

 private:
  struct Slot {
    std::uint64_t index;
    std::optional<v1::PairResult> result;  // absent: comes from the stream
  };

  void WriteReadyLocked();
  void CountLocked(const v1::PairResult& result);

  ResultFile& file_;
  Progress& progress_;
  std::mutex mutex_;        // guards everything below
  std::deque<Slot> slots_;  // in input order; the first one waits for the stream
  Summary summary_;
  PairTable table_;
  ProgressCounts counts_;
  absl::Status status_;
};

}  // namespace prefscore::cli
