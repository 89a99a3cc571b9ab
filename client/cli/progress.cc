// SPDX-License-Identifier: Apache-2.0
#include "client/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace prefscore::cli {
namespace {

constexpr char kClearLine[] = "\r\033[K";
constexpr int kBarWidth = 30;

std::string FormatSeconds(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 3600) return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

std::string FormatProgress(const ProgressCounts& counts, std::optional<std::uint64_t> num_rows,
                           absl::Duration elapsed) {
  const double seconds = absl::ToDoubleSeconds(elapsed);
  const double rate = seconds > 0 ? static_cast<double>(counts.num_done - counts.num_kept) / seconds : 0;
  std::string text;
  if (num_rows && *num_rows > 0) {
    const double fraction = std::min(1.0, static_cast<double>(counts.num_done) / static_cast<double>(*num_rows));
    const int width = static_cast<int>(fraction * kBarWidth);
    absl::StrAppend(&text, "[", std::string(width, '='), std::string(kBarWidth - width, ' '), "] ", counts.num_done,
                    "/", *num_rows);
  } else {
    absl::StrAppend(&text, counts.num_done, " rows");
  }
  absl::StrAppendFormat(&text, "  %.1f rows/s", rate);
  if (num_rows && rate > 0 && *num_rows >= counts.num_done) {
    absl::StrAppend(&text, "  ETA ", FormatSeconds(static_cast<double>(*num_rows - counts.num_done) / rate));
  }
  if (counts.num_failed > 0) absl::StrAppend(&text, "  ", counts.num_failed, " failed");
  return text;
}

Progress::Progress(std::optional<std::uint64_t> num_rows)
    : num_rows_(num_rows), is_drawn_(::isatty(STDERR_FILENO) == 1), start_(absl::Now()) {}

void Progress::Clear() {
  std::unique_lock lock(mutex_);
  if (is_drawn_) std::cerr << kClearLine << std::flush;
}

void Progress::Update(const ProgressCounts& counts) {
  if (!is_drawn_) return;
  std::unique_lock lock(mutex_);
  if (absl::Now() - last_drawing_ < absl::Milliseconds(100)) return;
  last_drawing_ = absl::Now();
  std::cerr << kClearLine << FormatProgress(counts, num_rows_, Elapsed()) << std::flush;
}

void Progress::Note(const std::string& text) {
  std::unique_lock lock(mutex_);
  std::cerr << (is_drawn_ ? kClearLine : "") << "prefscore: " << text << std::endl;
}

absl::Duration Progress::Elapsed() const { return absl::Now() - start_; }

}  // namespace prefscore::cli
