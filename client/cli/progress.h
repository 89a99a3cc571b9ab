// SPDX-License-Identifier: Apache-2.0
// One line on a terminal that tells how far a run is. Silent elsewhere. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace prefscore::cli {

struct ProgressCounts {
  std::uint64_t num_done = 0;  // rows with a result, kept ones and failed ones included
  std::uint64_t num_kept = 0;  // of those, rows that an earlier run left
  std::uint64_t num_failed = 0;
};

// "[=====>    ]  52/100  12.3 rows/s  ETA 0:04  1 failed". Rate and ETA count only what this run did.
std::string FormatProgress(const ProgressCounts& counts, std::optional<std::uint64_t> num_rows,
                           absl::Duration elapsed);

class Progress {
 public:
  // Draws on standard error where that is a terminal.
  explicit Progress(std::optional<std::uint64_t> num_rows);
  ~Progress() { Clear(); }

  void Update(const ProgressCounts& counts);  // redraws at most ten times a second
  void Note(const std::string& text);         // a line of its own, drawn on any standard error
  void Clear();                               // the line goes until the next Update
  absl::Duration Elapsed() const;

 private:
  const std::optional<std::uint64_t> num_rows_;
  const bool is_drawn_;
  const absl::Time start_;
  std::mutex mutex_;
  absl::Time last_drawing_ = absl::InfinitePast();
};

}  // namespace prefscore::cli
