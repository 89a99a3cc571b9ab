// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/local_clock.h"

#include <cstring>

namespace prefscore {

LocalClock::LocalClock(std::int64_t unix_time) {
  const std::time_t seconds = unix_time;
  localtime_r(&seconds, &local_time_);
}

std::int64_t LocalClock::Format(void* clock, const char* format, std::size_t format_length, char* out,
                                std::size_t out_capacity) {
  auto& self = *static_cast<LocalClock*>(clock);
  char date[16];
  self.printed_date_.assign(date, std::strftime(date, sizeof date, "%Y-%m-%d", &self.local_time_));

  std::string zoneless;
  for (std::size_t at = 0; at < format_length; ++at) {
    if (format[at] == '%' && at + 1 < format_length) {
      const char directive = format[++at];
      if (directive == 'f') return -1;
      if (directive == 'z' || directive == 'Z') continue;
      zoneless += '%';
      zoneless += directive;
    } else {
      zoneless += format[at];
    }
  }
  if (zoneless.empty()) return 0;
  zoneless += '.';  // strftime returns 0 for empty text as well as for a full buffer
  const std::size_t length = std::strftime(out, out_capacity, zoneless.c_str(), &self.local_time_);
  return static_cast<std::int64_t>(length) - 1;
}

}  // namespace prefscore
