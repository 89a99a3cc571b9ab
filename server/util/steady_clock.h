// SPDX-License-Identifier: Apache-2.0
// The clock for durations and deadlines inside the server: it never jumps, whatever is done to the wall clock.
#pragma once

#include <chrono>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace prefscore {

// Only differences between its times mean something: it starts somewhere (on Linux, when the machine did).
inline absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

// A time of the wall clock, as gRPC tells deadlines, on this clock. Both clocks are read now, so a jump before or after
// does no harm. InfiniteFuture stays what it is.
inline absl::Time ToSteady(absl::Time wall_time, absl::Time wall_now) {
  return wall_time == absl::InfiniteFuture() ? wall_time : SteadyNow() + (wall_time - wall_now);
}

// mutex.AwaitWithTimeout by this clock, where the wall clock leaps forward. Where it is set back while this waits, the end
// of the timeout may be that much later: the library's timeouts are of the wall clock.
inline bool AwaitSteadily(absl::Mutex& mutex, const absl::Condition& condition, absl::Duration timeout)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
  const absl::Time end = SteadyNow() + timeout;
  absl::Duration left = timeout;
  while (!mutex.AwaitWithTimeout(condition, left)) {
    left = end - SteadyNow();
    if (left <= absl::ZeroDuration()) return false;
  }
  return true;
}

}  // namespace prefscore
