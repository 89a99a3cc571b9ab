// SPDX-License-Identifier: Apache-2.0
#include "server/util/periodic_task.h"

#include <utility>

namespace prefscore {

PeriodicTask::PeriodicTask(absl::Duration period, std::function<void()> task)
    : thread_([this, period, task = std::move(task)] {
        while (!stopped_.WaitForNotificationWithTimeout(period)) task();
      }) {}

PeriodicTask::~PeriodicTask() {
  stopped_.Notify();
  thread_.join();
}

}  // namespace prefscore
