// SPDX-License-Identifier: Apache-2.0
// The terminal as a screen that is drawn anew again and again, and given back as it was.
#pragma once

#include <termios.h>

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace prefscore::cli {

// One per process: signals that end the process must find it. Standard output must be a terminal.
class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;

  // From the top left corner on; what does not fit is cut.
  void Draw(const std::vector<std::string>& lines) const;

  // False: the user asked to leave, by q or by a signal.
  bool Wait(absl::Duration duration) const;

 private:
  termios original_ = {};
  bool is_raw_ = false;
};

}  // namespace prefscore::cli
