// SPDX-License-Identifier: Apache-2.0
#include "server/models/thread_pool.h"

#include <immintrin.h>

#include <algorithm>

namespace prefscore {
namespace {

// The loops of one forward pass follow each other within microseconds: a thread that waits this long before it sleeps
// rarely misses one. About 50 us.
constexpr int kSpinsBeforeSleep = 1000;

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  try {
    for (int i = 1; i < num_threads; ++i) threads_.emplace_back([this] { Help(); });
  } catch (...) {
    Stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    num_added_.fetch_add(1);
  }
  loop_added_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::ParallelFor(std::int64_t num_tasks, const std::function<void(std::int64_t)>& task) const {
  if (threads_.empty() || num_tasks <= 1) {
    for (std::int64_t i = 0; i < num_tasks; ++i) task(i);
    return;
  }
  Loop loop{&task, num_tasks};
  {
    std::lock_guard lock(mutex_);
    loops_.push_back(&loop);
    num_added_.fetch_add(1);
  }
  loop_added_.notify_all();
  Work(loop);
  {
    std::lock_guard lock(mutex_);
    std::erase(loops_, &loop);  // from here on nobody joins
  }
  for (int spins = 0; loop.num_helpers.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpinsBeforeSleep) {
      _mm_pause();
    } else {
      std::this_thread::yield();
    }
  }
  if (loop.failure) std::rethrow_exception(loop.failure);
}

void ThreadPool::Work(Loop& loop) const {
  for (std::int64_t i; (i = loop.next.fetch_add(1, std::memory_order_relaxed)) < loop.num_tasks;) {
    try {
      (*loop.task)(i);
    } catch (...) {
      loop.next.store(loop.num_tasks, std::memory_order_relaxed);
      std::lock_guard lock(mutex_);
      if (!loop.failure) loop.failure = std::current_exception();
    }
  }
}

void ThreadPool::Help() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto open = std::find_if(loops_.begin(), loops_.end(), [](const Loop* loop) {
      return loop->next.load(std::memory_order_relaxed) < loop->num_tasks;
    });
    if (open != loops_.end()) {
      Loop& loop = **open;
      loop.num_helpers.fetch_add(1);
      lock.unlock();
      Work(loop);
      loop.num_helpers.fetch_sub(1, std::memory_order_release);  // the last touch: the loop may be gone after it
      lock.lock();
      continue;
    }
    const std::uint64_t seen = num_added_.load();
    lock.unlock();
    for (int spins = 0; spins < kSpinsBeforeSleep && num_added_.load(std::memory_order_relaxed) == seen; ++spins) {
      _mm_pause();
    }
    lock.lock();
    loop_added_.wait(lock, [&] { return stopping_ || num_added_.load() != seen; });
  }
}

}  // namespace prefscore
