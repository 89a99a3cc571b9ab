// SPDX-License-Identifier: Apache-2.0
// What the calls of one token may make the models compute, over time and at once.
//
// Over time: a bucket that holds burst_tokens and is refilled with tokens_per_second. A call is let in while anything is
// in the bucket, and takes all that it needs, below zero too; the next is let in once that is paid back. So the rate
// holds over the long run, and no call is so large that it could never be served.
// At once: the tokens of calls that are not yet answered. Who holds nothing is let in with any one call. Messages of
// streams stand in line for room; calls are refused while they would overtake the line.
//
// Who is refused is told when to come again, each behind those who were told before, at the pace of the bucket.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/access/observer.h"
#include "server/access/token_entry.h"

namespace prefscore {

class Quota;

// What a call was let in with. Held until it is answered: what it holds at once is given back when it is destroyed.
class QuotaCharge {
 public:
  QuotaCharge() = default;
  QuotaCharge(QuotaCharge&& other) noexcept { *this = std::move(other); }
  QuotaCharge& operator=(QuotaCharge&& other) noexcept {
    std::swap(quota_, other.quota_);
    std::swap(num_tokens_, other.num_tokens_);
    return *this;
  }
  ~QuotaCharge();

  // What the call needs is now known better.
  void Correct(std::int64_t num_tokens);
  // The call was not let in after all: it costs nothing.
  void Refund();

 private:
  friend class Quota;
  QuotaCharge(std::shared_ptr<Quota> quota, std::int64_t num_tokens)
      : quota_(std::move(quota)), num_tokens_(num_tokens) {}

  std::shared_ptr<Quota> quota_;  // null: nothing is held
  std::int64_t num_tokens_ = 0;
};

// A message of a stream, on its way in.
struct QuotaTurn {
  std::int64_t num_tokens = 0;
  std::int64_t num_bytes = 0;                   // of memory, while it waits
  std::function<bool()> is_over;                // its stream has ended: it takes nothing, and need not wait
  std::function<void(QuotaCharge)> on_its_turn; // must return at once; with an empty charge where it is over
};

// Thread-safe.
class Quota : public std::enable_shared_from_this<Quota> {
 public:
  // How long streams wait for calls that hold concurrent_tokens before they look again, and what such callers are told.
  static constexpr absl::Duration kConcurrencyDelay = absl::Milliseconds(200);

  // Of messages in line, but for the first. It bounds memory, as max_queued_bytes does for what is let in.
  static constexpr std::int64_t kMaxLineBytes = std::int64_t{64} << 20;

  // `token`: its name.
  Quota(std::string token, const QuotaLimits& limits, AccessObserver observer,
        std::function<absl::Time()> now = absl::Now);

  // For a call. RESOURCE_EXHAUSTED (carrying a delay, retry_delay.h) where there is no room.
  absl::StatusOr<QuotaCharge> Take(std::int64_t num_tokens);

  // For a message of a stream: its turn comes, once, when there is room for it at once; now, or on the thread that makes
  // room. What it overdraws over time holds back what is read later (Pause). RESOURCE_EXHAUSTED where the line holds
  // kMaxLineBytes; then its turn never comes.
  absl::Status TakeInTurn(QuotaTurn turn);
  // The turn of those that are over comes now.
  void EndTurns();

  // How long a stream should wait before it looks again; zero: it may read its next message.
  absl::Duration Pause() const;

  // From now on; what was taken stays taken.
  void SetLimits(const QuotaLimits& limits);

 private:
  friend class QuotaCharge;

  void Refill(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Refuse(QuotaRefusal reason, std::int64_t num_tokens, const std::string& why, absl::Duration delay) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Check(std::int64_t num_tokens, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration UntilRefilled() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes, or gives back where negative.
  void Adjust(std::int64_t num_tokens) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Release(std::int64_t num_tokens, bool is_charged);
  bool Fits(std::int64_t num_tokens) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // From the head of the line, those that there is room for; from all of it, those that are over.
  void ServeLine(bool looks_at_all) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string token_;
  const AccessObserver observer_;
  const std::function<absl::Time()> now_;

  mutable absl::Mutex mutex_;
  QuotaLimits limits_ ABSL_GUARDED_BY(mutex_);
  mutable double bucket_tokens_ ABSL_GUARDED_BY(mutex_);
  mutable absl::Time refilled_ ABSL_GUARDED_BY(mutex_);
  absl::Time promised_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // when the last who was refused will be served
  std::int64_t held_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<QuotaTurn> line_ ABSL_GUARDED_BY(mutex_);  // while there is one, something is held: who gives it back, serves
  std::int64_t line_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::int64_t line_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace prefscore
