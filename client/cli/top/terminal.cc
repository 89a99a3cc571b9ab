// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/text_width.h"

namespace prefscore::cli {
namespace {

// ANSI: the other screen and back, the cursor off and on, clear to the end of the line and of the screen.
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l";
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";
constexpr char kHome[] = "\x1b[H";
constexpr char kClearLine[] = "\x1b[K";
constexpr char kClearBelow[] = "\x1b[J";

constexpr std::size_t kMinWidth = 20;

volatile sig_atomic_t is_asked_to_leave = 0;
void OnSignal(int) { is_asked_to_leave = 1; }

}  // namespace

Screen::Screen() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  action.sa_handler = [](int) {};  // a new size: wakes Wait, so that all is drawn anew
  sigaction(SIGWINCH, &action, nullptr);
  if (tcgetattr(STDIN_FILENO, &original_) == 0) {
    termios raw = original_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    is_raw_ = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  std::cout << kEnter << std::flush;
}

Screen::~Screen() {
  std::cout << kLeave << std::flush;
  if (is_raw_) tcsetattr(STDIN_FILENO, TCSANOW, &original_);
}

void Screen::Draw(const std::vector<std::string>& lines) const {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    size.ws_row = 24;
    size.ws_col = 80;
  }
  std::string text = kHome;
  for (std::size_t idx = 0; idx < lines.size() && idx < size.ws_row; ++idx) {
    absl::StrAppend(&text, idx == 0 ? "" : "\r\n", CutText(lines[idx], std::max<std::size_t>(size.ws_col, kMinWidth)),
                    kClearLine);
  }
  std::cout << text << kClearBelow << std::flush;
}

bool Screen::Wait(absl::Duration duration) const {
  const absl::Time end = absl::Now() + duration;
  while (is_asked_to_leave == 0) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return true;
    pollfd input = {.fd = is_raw_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0};
    const int num_ready = poll(&input, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (num_ready < 0 && errno == EINTR) continue;
    if (num_ready > 0) {
      char key = 0;
      if (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q') return false;
    }
  }
  return false;
}

}  // namespace prefscore::cli
