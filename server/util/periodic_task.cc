// SPDX-License-Identifier: Apache-2.0
#include "server/util/periodic_task.h"

#include <chrono>
#include <utility>

#include "absl/time/time.h"

namespace prefscore {

PeriodicTask::PeriodicTask(absl::Duration period, std::function<void()> task)
    : thread_([this, period = absl::ToChronoNanoseconds(period), task = std::move(task)] {
        std::unique_lock lock(mutex_);
        while (!stopped_.wait_for(lock, period, [this] { return is_stopped_; })) {
          lock.unlock();
          task();
          lock.lock();
        }
      }) {}

PeriodicTask::~PeriodicTask() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

}  // namespace prefscore
