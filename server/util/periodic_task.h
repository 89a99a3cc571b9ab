// SPDX-License-Identifier: Apache-2.0
// Something that is done again and again.
#pragma once

#include <functional>
#include <thread>

#include "absl/synchronization/notification.h"
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
  absl::Notification stopped_;
  std::thread thread_;
};

}  // namespace prefscore
