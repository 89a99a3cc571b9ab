// SPDX-License-Identifier: Apache-2.0
// Something that is done again and again, whatever is done to the wall clock.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/time/time.h"

namespace prefscore {

// Owns the thread that does it; the destructor waits for the time that is under way, and for no other.
class PeriodicTask {
 public:
  // `task` is first called after one `period`, then one after the end of each call.
  PeriodicTask(absl::Duration period, std::function<void()> task);
  ~PeriodicTask();
  PeriodicTask(const PeriodicTask&) = delete;

 private:
  // The library's, not absl's: absl waits by the wall clock, and an hour longer where that is set back by one.
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool is_stopped_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace prefscore
