// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>

namespace prefscore {

// Lets the process open as many files, and so connections, as the system allows it at most. Shells give 1,024 to who does
// not ask: too few for a thousand clients.
inline void RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace prefscore
