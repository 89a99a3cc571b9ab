// SPDX-License-Identifier: Apache-2.0
// Who was refused, and when they were told to come again: so that not all come at once, and who comes as told finds room.
//
// A call is known again by its caller and a fingerprint of its request. Callers that never come back must not make the
// others wait: how much of what each was promised is expected is learnt from how many of its calls came, and what others
// are told counts a caller's calls to a limit only.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/time/time.h"

namespace prefscore {

// What a call makes the queue hold.
struct QueueLoad {
  std::int64_t num_tokens = 0;
  std::int64_t num_bytes = 0;

  QueueLoad& operator+=(const QueueLoad& other);
  QueueLoad& operator-=(const QueueLoad& other);
};

// Not thread-safe.
class RetryBook {
 public:
  // Further calls are told a time, and not expected.
  static constexpr std::size_t kMaxPromises = 1 << 15;
  static constexpr std::size_t kMaxPromisesOfCaller = kMaxPromises / 2;

  struct CallId {
    std::string caller = "";        // whose token; empty: there are none
    std::uint64_t fingerprint = 0;  // of the request; 0: it could not be known again
    auto operator<=>(const CallId&) const = default;
  };

  // Notes that the call will come after `delay`.
  void Promise(const CallId& call, const QueueLoad& load, absl::Duration delay, absl::Time now);

  // The call is here. True where it was expected about now: its promise is kept. Where it comes too early, its promise
  // stays, and `*wait` is what is left of its delay.
  bool Claim(const CallId& call, absl::Time now, std::optional<absl::Duration>* wait);

  // Forgets whom nobody need expect any more.
  void Expire(absl::Time now);

  struct Expectation {
    double num_tokens = 0;
    double num_bytes = 0;
  };
  // What is still expected before a new call of `caller`, by the share of each caller's calls that come: all of its own,
  // of each other's at most `most`.
  Expectation Expected(const std::string& caller, const Expectation& most) const;
  bool empty() const { return promises_.empty(); }

 private:
  struct Entry {
    QueueLoad load;
    absl::Time due;
    absl::Duration tolerance;  // that much too early is not early
    absl::Time expiry;
  };

  // What one caller was promised.
  struct Account {
    std::size_t num_promises = 0;
    QueueLoad total;
    double return_rate = 1;
  };

  // `returned`: 1 where the call came, else 0.
  void Remove(std::map<CallId, Entry>::iterator position, double returned);

  std::map<CallId, Entry> promises_;
  std::set<std::pair<absl::Time, CallId>> expiries_;
  std::map<std::string, Account> accounts_;  // by caller
};

}  // namespace prefscore
