// SPDX-License-Identifier: Apache-2.0
#include "server/util/worker_pool.h"

#include <utility>

namespace prefscore {

WorkerPool::WorkerPool(int num_threads) {
  threads_.reserve(num_threads);
  for (int thread_idx = 0; thread_idx < num_threads; ++thread_idx) threads_.emplace_back([this] { Loop(); });
}

WorkerPool::~WorkerPool() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Post(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  queue_.push_back(std::move(work));
}

void WorkerPool::Loop() {
  for (;;) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](WorkerPool* pool) { return pool->stopping_ || !pool->queue_.empty(); }, this));
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace prefscore
