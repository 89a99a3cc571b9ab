// SPDX-License-Identifier: Apache-2.0
#include "server/batching/admission.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

constexpr double kStreamShare = 0.5;         // of what the class may hold
constexpr double kPacePessimism = 1.1;       // the pace is a prediction, and who comes too early is refused again
constexpr absl::Duration kUnknownPaceDelay = absl::Seconds(1);
constexpr absl::Duration kMinDelay = absl::Milliseconds(50);
constexpr absl::Duration kMaxDelay = absl::Minutes(10);

}  // namespace

// Who waits in the other class's line keeps nobody of this one out.
Admission::Claims Admission::ClaimsOf(Priority priority) const {
  Claims claims = HeldBy(priority);
  claims.own += waiting(priority);
  claims.all += waiting(priority);
  return claims;
}

Admission::Claims Admission::HeldBy(Priority priority) const {
  Claims claims = {.own = held(priority), .all = {}};
  for (const Priority each : kPriorities) claims.all += held(each);
  return claims;
}

bool Admission::HasRoom(Priority priority) const {
  const double share = kStreamShare * ShareOfLimits(priority);
  const QueueLoad held = this->held(priority);
  return static_cast<double>(held.num_tokens) < share * static_cast<double>(limits_.max_queued_tokens) &&
         static_cast<double>(held.num_bytes) < share * static_cast<double>(limits_.max_queued_bytes);
}

std::optional<Refusal> Admission::Take(Entrant& entrant, const QueueLoad& need, const QueuePace& pace,
                                       absl::Time now) {
  RetryBook& book = BookOf(entrant.priority);
  book.Expire(now);
  std::optional<absl::Duration> wait;
  if (book.Claim(entrant.call, now, &wait)) entrant.waits_for_room = true;
  auto refusal = Check(entrant, ClaimsOf(entrant.priority), need, pace);
  if (!refusal.has_value()) {
    Held(entrant.priority) += need;
  } else if (wait.has_value()) {
    refusal->retry_delay = std::max(*wait, kMinDelay);
  } else if (!entrant.waits_for_room) {
    book.Promise(entrant.call, need, refusal->retry_delay, now);
  }
  return refusal;
}

std::optional<Refusal> Admission::Change(const Entrant& entrant, const QueueLoad& from, const QueueLoad& to,
                                         const QueuePace& pace, absl::Time now) {
  Held(entrant.priority) -= from;
  const bool is_larger = to.num_tokens > from.num_tokens || to.num_bytes > from.num_bytes;
  if (is_larger && !entrant.waits_for_room) {
    if (auto refusal = Check(entrant, ClaimsOf(entrant.priority), to, pace)) {
      Held(entrant.priority) += from;
      BookOf(entrant.priority).Promise(entrant.call, to, refusal->retry_delay, now);
      return refusal;
    }
  }
  Held(entrant.priority) += to;
  return std::nullopt;
}

bool Admission::Wait(Priority priority, const QueueLoad& need) {
  std::int64_t num_waiting_bytes = 0;
  for (const QueueLoad& load : waiting_) num_waiting_bytes += load.num_bytes;
  if (num_waiting_bytes > 0 && num_waiting_bytes + need.num_bytes > limits_.max_queued_bytes) return false;
  waiting_[static_cast<std::size_t>(priority)] += need;
  return true;
}

bool Admission::TakeWaiting(Priority priority, const QueueLoad& need) {
  if (Check({.priority = priority}, HeldBy(priority), need, {}).has_value()) return false;
  Held(priority) += need;
  return true;
}

std::optional<Refusal> Admission::Check(const Entrant& entrant, const Claims& claims, const QueueLoad& need,
                                        const QueuePace& pace) const {
  const Priority priority = entrant.priority;
  const auto& [own, all] = claims;
  if (own.num_tokens == 0) return std::nullopt;
  const auto exceeds = [&](std::int64_t own, std::int64_t all, std::int64_t need, std::int64_t limit) {
    return static_cast<double>(own + need) > ShareOfLimits(priority) * static_cast<double>(limit) || all + need > limit;
  };
  const bool has_many_tokens = exceeds(own.num_tokens, all.num_tokens, need.num_tokens, limits_.max_queued_tokens);
  const bool has_many_bytes = exceeds(own.num_bytes, all.num_bytes, need.num_bytes, limits_.max_queued_bytes);
  if (!has_many_tokens && !has_many_bytes) return std::nullopt;
  const auto message = [&](const char* unit, std::int64_t own, std::int64_t all, std::int64_t need,
                           std::int64_t limit) {
    return absl::StrCat("the queue holds ", all, " ", unit, ", ", own, " of them ", kPriorityNames[static_cast<std::size_t>(priority)],
                        ", and the call brings ", need, "; the limit is max_queued_", unit, " = ", limit,
                        priority == Priority::kBulk ? ", half of it for bulk work" : "");
  };
  Refusal refusal{.reason = has_many_tokens ? RefusalReason::kQueuedTokens : RefusalReason::kQueuedBytes,
                  .message = has_many_tokens ? message("tokens", own.num_tokens, all.num_tokens, need.num_tokens,
                                                       limits_.max_queued_tokens)
                                             : message("bytes", own.num_bytes, all.num_bytes, need.num_bytes,
                                                       limits_.max_queued_bytes),
                  .retry_delay = RetryDelay(entrant, claims, need, pace)};
  return refusal;
}

// How long until what waits, and what comes back before this call, has left room for it.
absl::Duration Admission::RetryDelay(const Entrant& entrant, const Claims& claims, const QueueLoad& need,
                                     const QueuePace& pace) const {
  if (pace.seconds_per_token <= 0) return kUnknownPaceDelay;
  const double share = ShareOfLimits(entrant.priority);
  // What one caller was promised delays others by no more than the class's full queue.
  const RetryBook::Expectation expected = BookOf(entrant.priority).Expected(
      entrant.call.caller, {.num_tokens = share * static_cast<double>(limits_.max_queued_tokens),
                            .num_bytes = share * static_cast<double>(limits_.max_queued_bytes)});
  const auto& [own, all] = claims;
  // The larger excess of the class over its share, and of all over the limit.
  const auto excess = [&](double own, double all, double expected, double need, double limit) {
    const double class_limit = share * limit;
    return std::max(own + expected + std::min(need, class_limit) - class_limit,
                    all + expected + std::min(need, limit) - limit);
  };
  const double excess_tokens =
      excess(static_cast<double>(own.num_tokens), static_cast<double>(all.num_tokens), expected.num_tokens,
             static_cast<double>(need.num_tokens), static_cast<double>(limits_.max_queued_tokens));
  const double excess_bytes =
      excess(static_cast<double>(own.num_bytes), static_cast<double>(all.num_bytes), expected.num_bytes,
             static_cast<double>(need.num_bytes), static_cast<double>(limits_.max_queued_bytes));
  const double tokens_per_byte =
      all.num_bytes > 0 ? static_cast<double>(all.num_tokens) / static_cast<double>(all.num_bytes) : 0;
  const double tokens_to_go = std::max({excess_tokens, excess_bytes * tokens_per_byte, 0.0});
  const double seconds = pace.seconds_to_next_batch + tokens_to_go * pace.seconds_per_token;
  return std::clamp(absl::Seconds(kPacePessimism * seconds), kMinDelay, kMaxDelay);
}

}  // namespace prefscore
