// SPDX-License-Identifier: Apache-2.0
// How many calls a server has not finished yet, as a drain wants to know it: the calls that came before it closes the
// count.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/util/steady_clock.h"

namespace prefscore {

// Thread-safe. Outlives its entries.
class OpenCalls {
 public:
  // A call, from its arrival until gRPC is done with it.
  class Entry {
   public:
    Entry() = default;  // of no call
    Entry(Entry&& other) noexcept : calls_(std::exchange(other.calls_, nullptr)) {}
    Entry& operator=(Entry&& other) noexcept {
      std::swap(calls_, other.calls_);
      return *this;
    }
    ~Entry() { Leave(); }
    void Leave() {
      if (OpenCalls* const calls = std::exchange(calls_, nullptr)) calls->Remove();
    }

   private:
    friend class OpenCalls;
    explicit Entry(OpenCalls* calls) : calls_(calls) {}
    OpenCalls* calls_ = nullptr;
  };

  Entry Enter() {
    absl::MutexLock lock(&mutex_);
    if (is_closed_) return Entry();
    ++num_open_;
    return Entry(this);
  }

  // From now on no call is counted.
  void Close() {
    absl::MutexLock lock(&mutex_);
    is_closed_ = true;
  }

  // Ends AwaitNone at once, now or later.
  void Hurry() {
    absl::MutexLock lock(&mutex_);
    is_hurried_ = true;
  }

  // Waits until no call is open, at most `timeout`.
  void AwaitNone(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    const auto is_over = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return num_open_ == 0 || is_hurried_; };
    AwaitSteadily(mutex_, absl::Condition(&is_over), timeout);
  }

  // Waits at most so long, whoever is in a hurry. Returns how many are open.
  std::int64_t AwaitLast(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    const auto is_none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return num_open_ == 0; };
    AwaitSteadily(mutex_, absl::Condition(&is_none), timeout);
    return num_open_;
  }

 private:
  void Remove() {
    absl::MutexLock lock(&mutex_);
    --num_open_;
  }

  absl::Mutex mutex_;
  std::int64_t num_open_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_hurried_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace prefscore
