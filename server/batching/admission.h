// SPDX-License-Identifier: Apache-2.0
// Who is let in: limits on what waits, in tokens and bytes, from arrival (being tokenised counts) until it is computed.
// No clock, no threads.
//
// Bulk work may hold half of each limit, so that it never keeps interactive work out. A class that holds nothing takes any
// one call: else a call over the limit could never be served. Who is refused is told when there will be room for it,
// counting those who were told before; the last eighth of the limits is kept for them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/batching/job.h"
#include "server/batching/retry_book.h"

namespace prefscore {

struct AdmissionLimits {
  std::int64_t max_queued_tokens = 1 << 20;
  std::int64_t max_queued_bytes = std::int64_t{256} << 20;
};

enum class RefusalReason { kQueuedTokens, kQueuedBytes, kDeadline, kCancelled, kShuttingDown };
inline constexpr std::array kRefusalReasonNames = {"queued_tokens", "queued_bytes", "deadline", "cancelled",
                                                   "shutting_down"};

struct Refusal {
  RefusalReason reason;
  std::string message;  // names value and limit
  absl::Duration retry_delay;
};

// How fast the queue moves, as predicted.
struct QueuePace {
  double seconds_per_token = 0;     // of waiting work; 0: not known
  double seconds_to_next_batch = 0;  // room appears when a batch leaves the queue
};

// Not thread-safe.
class Admission {
 public:
  explicit Admission(AdmissionLimits limits) : limits_(limits) {}

  // Takes `need` and returns nothing, or says why not. `fingerprint` of the request, 0: none.
  std::optional<Refusal> Take(Priority priority, const QueueLoad& need, std::uint64_t fingerprint,
                              const QueuePace& pace, absl::Time now);
  // What an admitted call needs is now known better. Whether it still fits; otherwise nothing changed.
  std::optional<Refusal> Change(Priority priority, const QueueLoad& from, const QueueLoad& to, const QueuePace& pace);
  void Release(Priority priority, const QueueLoad& load) { Held(priority) -= load; }

  // Whether a stream of this class should send more: at half of what its class may hold, streams pause.
  bool HasRoom(Priority priority) const;

  QueueLoad held(Priority priority) const { return held_[static_cast<std::size_t>(priority)]; }

 private:
  QueueLoad& Held(Priority priority) { return held_[static_cast<std::size_t>(priority)]; }
  QueueLoad HeldInAll() const;
  std::optional<Refusal> Check(Priority priority, const QueueLoad& need, double share, const QueuePace& pace) const;
  absl::Duration RetryDelay(Priority priority, const QueueLoad& need, const QueuePace& pace) const;

  const AdmissionLimits limits_;
  std::array<QueueLoad, kPriorities.size()> held_;
  std::array<RetryBook, kPriorities.size()> books_;
};

}  // namespace prefscore
