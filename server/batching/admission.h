// SPDX-License-Identifier: Apache-2.0
// Who is let in: limits on what waits, in tokens and bytes, from arrival (being tokenised counts) until it is computed.
// No clock, no threads.
//
// Bulk work may hold half of each limit, so that it never keeps interactive work out. A class that holds nothing takes any
// one call: else a call over the limit could never be served. Who is refused is told when there will be room for it,
// counting those who were told before. Who comes as told is not refused again: where there is no room yet it waits for it,
// and so do streams, in one line per class that newcomers stand behind. What waits in line is limited, too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/batching/job.h"
#include "server/batching/retry_book.h"

namespace prefscore {

// What a class may hold of each limit.
constexpr double ShareOfLimits(Priority priority) { return priority == Priority::kBulk ? 0.5 : 1; }

struct AdmissionLimits {
  std::int64_t max_queued_tokens = 1 << 20;
  std::int64_t max_queued_bytes = std::int64_t{256} << 20;
};

enum class RefusalReason { kQueuedTokens, kQueuedBytes, kDeadline, kCancelled, kShuttingDown };
inline constexpr std::array kRefusalReasonNames = {"queued_tokens", "queued_bytes", "deadline", "cancelled",
                                                   "shutting_down"};

struct Refusal {
  RefusalReason reason;
  std::string message = "";  // names value and limit
  absl::Duration retry_delay = absl::ZeroDuration();
};

// Who asks to be let in.
struct Entrant {
  Priority priority = Priority::kInteractive;
  RetryBook::CallId call = {};    // to know it again after a refusal
  bool waits_for_room = false;    // rather than being refused: a stream, or who comes as told
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

  // Takes `need` and returns nothing, or says why not. Sets waits_for_room where the entrant comes as it was told: then,
  // as for streams, a refusal means that it may stand in line.
  std::optional<Refusal> Take(Entrant& entrant, const QueueLoad& need, const QueuePace& pace, absl::Time now);
  // What an admitted call needs is now known better. Refuses where it no longer fits; then nothing changed. Never refuses
  // who waits for room.
  std::optional<Refusal> Change(const Entrant& entrant, const QueueLoad& from, const QueueLoad& to,
                                const QueuePace& pace, absl::Time now);
  void Release(Priority priority, const QueueLoad& load) { Held(priority) -= load; }

  // Stands in line. False: what stands there holds max_queued_bytes.
  bool Wait(Priority priority, const QueueLoad& need);
  void StopWaiting(Priority priority, const QueueLoad& need) { waiting_[static_cast<std::size_t>(priority)] -= need; }
  // Takes `need`, which has left the line, if there is room for it.
  bool TakeWaiting(Priority priority, const QueueLoad& need);

  // Whether a stream of this class should send more: at half of what its class may hold, streams pause.
  bool HasRoom(Priority priority) const;

  QueueLoad held(Priority priority) const { return held_[static_cast<std::size_t>(priority)]; }
  QueueLoad waiting(Priority priority) const { return waiting_[static_cast<std::size_t>(priority)]; }

 private:
  QueueLoad& Held(Priority priority) { return held_[static_cast<std::size_t>(priority)]; }
  RetryBook& BookOf(Priority priority) { return books_[static_cast<std::size_t>(priority)]; }
  const RetryBook& BookOf(Priority priority) const { return books_[static_cast<std::size_t>(priority)]; }
  // What a class has of the limits, and all classes have.
  struct Claims {
    QueueLoad own;
    QueueLoad all;
  };
  Claims HeldBy(Priority priority) const;
  Claims ClaimsOf(Priority priority) const;  // with what stands in the class's line
  std::optional<Refusal> Check(const Entrant& entrant, const Claims& claims, const QueueLoad& need,
                               const QueuePace& pace) const;
  absl::Duration RetryDelay(const Entrant& entrant, const Claims& claims, const QueueLoad& need,
                            const QueuePace& pace) const;

  const AdmissionLimits limits_;
  std::array<QueueLoad, kPriorities.size()> held_;
  std::array<QueueLoad, kPriorities.size()> waiting_;  // in line
  std::array<RetryBook, kPriorities.size()> books_;
};

}  // namespace prefscore
