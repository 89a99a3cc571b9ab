// SPDX-License-Identifier: Apache-2.0
// Writes whole lines to a file descriptor that may be a pipe whose reader is stuck, gone or slow.
#pragma once

#include <chrono>
#include <string_view>

namespace prefscore {

// For one thread, which must block SIGPIPE. Does not own the descriptor.
class LineWriter {
 public:
  // `patience`: how long a reader that takes nothing is waited for. From then on nothing is, until it takes something.
  LineWriter(int descriptor, std::chrono::milliseconds patience) : descriptor_(descriptor), patience_(patience) {}

  // `line` ends with its line end. Returns whether all of it was written; a line that was cut is ended before the next.
  bool Write(std::string_view line);

 private:
  bool WriteBytes(std::string_view bytes);
  bool WaitForRoom();

  const int descriptor_;
  const std::chrono::milliseconds patience_;
  bool is_stuck_ = false;
  bool is_within_line_ = false;
};

}  // namespace prefscore
