// SPDX-License-Identifier: Apache-2.0
// A fixed number of threads that run what is posted, in order of arrival.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace prefscore {

// Thread-safe. The destructor runs what was posted, then joins the threads.
class WorkerPool {
 public:
  explicit WorkerPool(int num_threads);
  ~WorkerPool();

  void Post(std::function<void()> work);

 private:
  void Loop();

  absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace prefscore
