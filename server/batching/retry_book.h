// SPDX-License-Identifier: Apache-2.0
// Who was refused, and when they were told to come again: so that not all come at once, and who comes as told finds room.
//
// A call is known again by a fingerprint of its request. Callers that never come back must not make the others wait: how
// much of what was promised is expected is learnt from how many came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
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
  static constexpr std::size_t kMaxPromises = 1 << 14;  // further callers are told a time, and not expected

  // Notes that the call will come after `delay`. `fingerprint` 0: it could not be known again.
  void Promise(std::uint64_t fingerprint, const QueueLoad& load, absl::Duration delay, absl::Time now);

  // The call is here. True where it was expected about now: its promise is kept. Where it comes too early, its promise
  // stays, and `*wait` is what is left of its delay.
  bool Claim(std::uint64_t fingerprint, absl::Time now, std::optional<absl::Duration>* wait);

  // Forgets whom nobody need expect any more.
  void Expire(absl::Time now);

  // What is still expected, by the share of callers that come.
  double expected_tokens() const { return return_rate_ * static_cast<double>(total_.num_tokens); }
  double expected_bytes() const { return return_rate_ * static_cast<double>(total_.num_bytes); }
  bool empty() const { return promises_.empty(); }

 private:
  struct Entry {
    QueueLoad load;
    absl::Time due;
    absl::Duration tolerance;  // that much too early is not early
    absl::Time expiry;
  };

  void Remove(std::map<std::uint64_t, Entry>::iterator position);
  void Learn(double returned);

  std::map<std::uint64_t, Entry> promises_;  // by fingerprint
  std::set<std::pair<absl::Time, std::uint64_t>> expiries_;
  QueueLoad total_;
  double return_rate_ = 1;
};

}  // namespace prefscore
