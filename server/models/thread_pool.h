// SPDX-License-Identifier: Apache-2.0
// The threads within a forward pass.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace prefscore {

// Thread-safe. Several callers may share one pool: each works on its own loop, and idle threads join whichever loop has
// tasks left. A task must not depend on which thread runs it or when.
class ThreadPool {
 public:
  // num_threads counts the caller of ParallelFor: 1 means no threads of its own.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(threads_.size()) + 1; }

  // Runs task(0) ... task(num_tasks - 1) and returns when all are done. The first exception of a task is thrown here,
  // after the others have stopped.
  void ParallelFor(std::int64_t num_tasks, const std::function<void(std::int64_t)>& task) const;

 private:
  struct Loop {
    const std::function<void(std::int64_t)>* task;
    std::int64_t num_tasks;
    std::atomic<std::int64_t> next{0};
    std::atomic<int> num_helpers{0};  // raised under mutex_ while the loop is listed
    std::exception_ptr failure = {};  // guarded by mutex_
  };

  void Work(Loop& loop) const;
  void Help();
  void Stop();

  mutable std::mutex mutex_;
  mutable std::condition_variable loop_added_;
  mutable std::vector<Loop*> loops_;                // guarded by mutex_
  mutable std::atomic<std::uint64_t> num_added_{0};  // changes when a loop is listed or the pool stops
  bool stopping_ = false;                           // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace prefscore
