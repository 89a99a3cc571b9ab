// SPDX-License-Identifier: Apache-2.0
// The date and time that a chat template's strftime_now() prints. Private to this folder.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>

namespace prefscore {

// One moment in local time. Used by one render call.
class LocalClock {
 public:
  explicit LocalClock(std::int64_t unix_time);

  // prefscore_format_time of tokenizer_abi.h; `clock` is a LocalClock. As Python's datetime.now().strftime: the time
  // has no zone (%z and %Z are empty). -1: %f, or text longer than `out_capacity`.
  static std::int64_t Format(void* clock, const char* format, std::size_t format_length, char* out,
                             std::size_t out_capacity);

  // "YYYY-MM-DD" once Format was called, else empty.
  const std::string& printed_date() const { return printed_date_; }

 private:
  std::tm local_time_{};
  std::string printed_date_;
};

}  // namespace prefscore
